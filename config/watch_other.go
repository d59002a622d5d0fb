//go:build !unix

package config

import "time"

var started = time.Now()

// processorTime is the time on the clock, where nothing better is known.
func processorTime() time.Duration { return time.Since(started) }
