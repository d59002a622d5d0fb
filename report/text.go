package report

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// none stands in a table for what does not exist or is not known.
const none = "–"

// Bytes writes a number of bytes in decimal units, as registries count:
// "312 B", "213 kB", "14.2 MB". A negative number is unknown: "–".
func Bytes(n int64) string {
	if n < 0 {
		return none
	}
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n)/1000, "kB"
	for _, next := range []string{"MB", "GB", "TB", "PB", "EB"} {
		if round1(v) < 1000 {
			break
		}
		v, unit = v/1000, next
	}
	if unit == "kB" && v >= 9.95 {
		if math.Round(v) == 1000 {
			return "1.0 MB"
		}
		return fmt.Sprintf("%.0f %s", v, unit)
	}
	return fmt.Sprintf("%.1f %s", v, unit)
}

func round1(v float64) float64 { return math.Round(v*10) / 10 }

// Duration writes a duration as it is read at a glance: "0.1s", "6.2s",
// "1m05s", "2h03m". A negative one, from a clock that stepped back, is 0.
func Duration(d time.Duration) string {
	d = max(d, 0)
	if d < time.Minute-50*time.Millisecond {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	s := int64(d.Round(time.Second) / time.Second)
	if s < 3600 {
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	}
	return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
}

var magnitudes = []humanize.RelTimeMagnitude{
	{D: time.Second, Format: "now", DivBy: time.Second},
	{D: 2 * time.Second, Format: "1 second %s", DivBy: 1},
	{D: time.Minute, Format: "%d seconds %s", DivBy: time.Second},
	{D: 2 * time.Minute, Format: "1 minute %s", DivBy: 1},
	{D: time.Hour, Format: "%d minutes %s", DivBy: time.Minute},
	{D: 2 * time.Hour, Format: "1 hour %s", DivBy: 1},
	{D: 2 * humanize.Day, Format: "%d hours %s", DivBy: time.Hour},
	{D: 2 * humanize.Week, Format: "%d days %s", DivBy: humanize.Day},
	{D: 3 * humanize.Month, Format: "%d weeks %s", DivBy: humanize.Week},
	{D: 2 * humanize.Year, Format: "%d months %s", DivBy: humanize.Month},
	{D: math.MaxInt64, Format: "%d years %s", DivBy: humanize.Year},
}

// Ago writes how long before now t was: "2 minutes ago", "5 weeks ago". The
// zero time is "–", a time in the future "now".
func Ago(t, now time.Time) string {
	if t.IsZero() {
		return none
	}
	if t.After(now) {
		t = now
	}
	return humanize.CustomRelTime(t, now, "ago", "", magnitudes)
}

// shortLen is the number of hex digits that names an image at a glance.
const shortLen = 12

// ShortDigest cuts a digest for reading: "sha256:1f0c9a2b3c4d…". The empty
// digest is "–".
func ShortDigest(digest string) string {
	if digest == "" {
		return none
	}
	algorithm, hex, ok := strings.Cut(digest, ":")
	if !ok || len(hex) <= shortLen {
		return digest
	}
	return algorithm + ":" + hex[:shortLen] + "…"
}
