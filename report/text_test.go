package report

import (
	"testing"
	"time"
)

func TestBytes(t *testing.T) {
	tests := []struct {
		n    int64
		want string
	}{
		{-1, "–"}, {0, "0 B"}, {312, "312 B"}, {999, "999 B"}, {1000, "1.0 kB"}, {9_940, "9.9 kB"},
		{9_950, "10 kB"}, {213_000, "213 kB"}, {999_499, "999 kB"}, {999_500, "1.0 MB"},
		{999_999, "1.0 MB"}, {4_900_000, "4.9 MB"}, {14_200_000, "14.2 MB"},
		{999_949_999, "999.9 MB"}, {999_950_000, "1.0 GB"}, {1 << 62, "4.6 EB"},
	}
	for _, tt := range tests {
		if got := Bytes(tt.n); got != tt.want {
			t.Errorf("Bytes(%d) = %q, want %q", tt.n, got, tt.want)
		}
	}
}

func TestDuration(t *testing.T) {
	tests := []struct {
		d    time.Duration
		want string
	}{
		{-time.Second, "0.0s"}, {0, "0.0s"}, {49 * time.Millisecond, "0.0s"}, {100 * time.Millisecond, "0.1s"},
		{6200 * time.Millisecond, "6.2s"}, {59_940 * time.Millisecond, "59.9s"},
		{59_950 * time.Millisecond, "1m00s"}, {65 * time.Second, "1m05s"},
		{time.Hour - time.Second, "59m59s"}, {time.Hour, "1h00m"}, {26*time.Hour + 3*time.Minute, "26h03m"},
	}
	for _, tt := range tests {
		if got := Duration(tt.d); got != tt.want {
			t.Errorf("Duration(%s) = %q, want %q", tt.d, got, tt.want)
		}
	}
}

func TestAgo(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	tests := []struct {
		ago  time.Duration
		want string
	}{
		{-time.Hour, "now"}, {0, "now"}, {time.Second, "1 second ago"}, {59 * time.Second, "59 seconds ago"},
		{2 * time.Minute, "2 minutes ago"}, {time.Hour, "1 hour ago"}, {3 * time.Hour, "3 hours ago"},
		{3 * day, "3 days ago"}, {35 * day, "5 weeks ago"}, {100 * day, "3 months ago"},
		{3 * 366 * day, "3 years ago"},
	}
	for _, tt := range tests {
		if got := Ago(now.Add(-tt.ago), now); got != tt.want {
			t.Errorf("%s ago: got %q, want %q", tt.ago, got, tt.want)
		}
	}
	if got := Ago(time.Time{}, now); got != "–" {
		t.Errorf("the zero time: got %q", got)
	}
	if got := Ago(time.Unix(0, 0), now); got != "56 years ago" {
		t.Errorf("the epoch: got %q", got)
	}
}

func TestShortDigest(t *testing.T) {
	tests := []struct{ in, want string }{
		{digestA, "sha256:1f0c9a2b3c4d…"}, {"", "–"}, {"sha256:abc", "sha256:abc"}, {"odd", "odd"},
	}
	for _, tt := range tests {
		if got := ShortDigest(tt.in); got != tt.want {
			t.Errorf("ShortDigest(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}
