package report

import (
	"io"
	"strings"
)

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
	Title    string
	Kind     Kind
	Optional bool // left out, the rightmost first, on a terminal too narrow
}

// Table writes rows under a header line. Cells are sanitized; columns whose
// cells are all empty are left out. Only a terminal narrows a table: first its
// free text, then its optional columns, never a name.
func Table(w io.Writer, t Terminal, columns []Column, rows [][]string) error {
	p := newPrinter(w, t)
	p.table(columns, rows, "")
	return p.err
}

const (
	gap     = "  "
	minFree = 24 // columns left to free text before optional columns give way
)

// table writes a table, each line after indent.
func (p *printer) table(columns []Column, rows [][]string, indent string) {
	g := newGrid(columns, rows)
	if p.s.tty && p.s.width > 0 {
		g.fit(p.s.width - width(indent))
	}
	var titles []string
	for i, c := range g.columns {
		titles = append(titles, g.align(i, c.Title))
	}
	if header := strings.Join(titles, gap); strings.TrimSpace(header) != "" {
		p.line(indent, p.paint(strings.TrimRight(header, " "), dim))
	}
	for _, row := range g.rows {
		var line []string
		for i, cell := range row {
			text := g.align(i, cut(cell, g.widths[i]))
			if g.columns[i].Kind == State {
				text = p.paint(cell, stateColor(cell)) + strings.TrimPrefix(text, cell)
			}
			line = append(line, text)
		}
		p.line(indent, strings.Join(line, gap))
	}
}

// A grid is a table being laid out.
type grid struct {
	columns []Column
	rows    [][]string
	widths  []int
}

func newGrid(columns []Column, rows [][]string) *grid {
	g := &grid{}
	for _, row := range rows {
		line := make([]string, len(columns))
		for i := range min(len(row), len(columns)) {
			line[i] = SanitizeLine(row[i])
		}
		g.rows = append(g.rows, line)
	}
	g.columns = append(g.columns, columns...)
	for i := len(columns) - 1; i >= 0; i-- {
		if len(rows) > 0 && g.empty(i) {
			g.drop(i)
		}
	}
	for i, c := range g.columns {
		widest := width(c.Title)
		for _, row := range g.rows {
			widest = max(widest, width(row[i]))
		}
		g.widths = append(g.widths, widest)
	}
	return g
}

func (g *grid) empty(column int) bool {
	for _, row := range g.rows {
		if row[column] != "" {
			return false
		}
	}
	return true
}

// drop removes a column.
func (g *grid) drop(i int) {
	g.columns = append(g.columns[:i:i], g.columns[i+1:]...)
	if g.widths != nil {
		g.widths = append(g.widths[:i:i], g.widths[i+1:]...)
	}
	for r, row := range g.rows {
		g.rows[r] = append(row[:i:i], row[i+1:]...)
	}
}

// fit narrows the grid to a terminal as far as it may.
func (g *grid) fit(columns int) {
	for i := len(g.columns) - 1; i >= 0 && g.shrinkBy(columns, minFree) > 0; i-- {
		if g.columns[i].Optional {
			g.drop(i)
		}
	}
	for over := g.over(columns); over > 0; over-- {
		i := g.widestFree()
		if i < 0 {
			return
		}
		g.widths[i]--
	}
}

// over is the number of columns by which the grid is too wide.
func (g *grid) over(columns int) int {
	total := len(gap) * (len(g.widths) - 1)
	for _, w := range g.widths {
		total += w
	}
	return total - columns
}

// shrinkBy is what would still be too wide if free text shrank to least.
func (g *grid) shrinkBy(columns, least int) int {
	over := g.over(columns)
	for i, c := range g.columns {
		if c.Kind == Free {
			over -= max(0, g.widths[i]-least)
		}
	}
	return over
}

// widestFree is the widest column that may be cut, or -1.
func (g *grid) widestFree() int {
	widest := -1
	for i, c := range g.columns {
		floor := max(width(c.Title), 4)
		if c.Kind == Free && g.widths[i] > floor && (widest < 0 || g.widths[i] > g.widths[widest]) {
			widest = i
		}
	}
	return widest
}

// align pads a cell of column i to the column's width.
func (g *grid) align(i int, text string) string {
	if g.columns[i].Kind == Number {
		return padLeft(text, g.widths[i])
	}
	return pad(text, g.widths[i])
}
