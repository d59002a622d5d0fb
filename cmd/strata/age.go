package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// An ageFlag is a duration that may be told in days and weeks: 12h, 7d, 2w.
type ageFlag time.Duration

// String implements pflag.Value.
func (a *ageFlag) String() string {
	if *a == 0 {
		return ""
	}
	return time.Duration(*a).String()
}

// Type implements pflag.Value.
func (*ageFlag) Type() string { return "age" }

// Set implements pflag.Value.
func (a *ageFlag) Set(text string) error {
	for unit, length := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		number, ok := strings.CutSuffix(text, unit)
		if !ok {
			continue
		}
		if n, err := strconv.ParseUint(number, 10, 16); err == nil && n > 0 {
			*a = ageFlag(time.Duration(n) * length)
			return nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return fmt.Errorf("%q is no age; write 12h, 7d or 2w", text)
	}
	*a = ageFlag(d)
	return nil
}
