package report

import "io"

// A Kind says what a column of a table holds.
type Kind int

// The kinds of columns.
const (
	Name   Kind = iota // names and references: never cut
	Number             // right-aligned
	Free               // free text: cut at its end on a terminal too narrow
	State              // a state word, coloured where there is colour
)

// A Column is one column of a table.
type Column struct {
	Title string
	Kind  Kind
}

// Table writes rows under a header line. Cells are sanitized.
func Table(w io.Writer, t Terminal, columns []Column, rows [][]string) error { return nil }
