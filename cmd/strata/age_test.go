package main

import (
	"testing"
	"time"
)

func TestAgeFlag(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"12h": 12 * time.Hour, "7d": 7 * day, "2w": 14 * day, "90m": 90 * time.Minute, "1h30m": 90 * time.Minute, "65535d": 65535 * day,
		"": 0, "d": 0, "-1d": 0, "1.5d": 0, "0s": 0, "-1h": 0, "7": 0, "7 d": 0, "1d12h": 0, "70000d": 0, "0d": 0,
	} {
		var a ageFlag
		if err := a.Set(text); (err == nil) != (want > 0) || time.Duration(a) != want {
			t.Errorf("%q is %v, %v; want %v", text, time.Duration(a), err, want)
		}
	}
}
