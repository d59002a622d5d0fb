package report

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// A screen is a terminal that knows just the sequences progress may use, and
// complains about any other. It wraps lines as terminals do: not after the
// last column, but before the next character.
type screen struct {
	mu            sync.Mutex
	columns, rows int
	cells         [][]string // of a row, "" right of a wide character
	saved         []string   // rows that scrolled away
	x, y          int
	wrap          bool // the last column is written, the next character wraps
	clip          bool // nothing wraps
	bad           []string
	frames        int
}

func newScreen(columns, rows int) *screen {
	s := &screen{}
	s.resize(columns, rows)
	return s
}

// resize cuts and fills rows like a terminal that does not reflow.
func (s *screen) resize(columns, rows int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.cells) > rows && s.y > 0 {
		s.scroll()
	}
	s.columns, s.rows = columns, rows
	s.cells = s.cells[:min(len(s.cells), rows)]
	for len(s.cells) < rows {
		s.cells = append(s.cells, nil)
	}
	for i := range s.cells {
		row := make([]string, columns)
		for j := range row {
			row[j] = " "
		}
		copy(row, s.cells[i])
		s.cells[i] = row
	}
	s.x, s.wrap = min(s.x, columns-1), false
}

func (s *screen) size() (int, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.columns, s.rows
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frames++
	if !utf8.Valid(b) {
		s.complain("a write cut a character: %q", b)
	}
	text := string(b)
	for text != "" {
		if text[0] == 0x1b {
			text = text[s.escape(text):]
			continue
		}
		r, n := utf8.DecodeRuneInString(text)
		s.put(r)
		text = text[n:]
	}
	return len(b), nil
}

func (s *screen) complain(format string, args ...any) {
	s.bad = append(s.bad, fmt.Sprintf(format, args...))
}

// escape obeys the sequence at the start of text and returns its length.
func (s *screen) escape(text string) int {
	end := strings.IndexFunc(text, func(r rune) bool { return r >= '@' && r != '[' })
	if end < 0 || !strings.HasPrefix(text, "\x1b[") {
		s.complain("not a whole sequence: %q", text)
		return len(text)
	}
	switch args, final := text[2:end], text[end]; {
	case final == 'm':
	case args == "?7" && (final == 'l' || final == 'h'):
		s.clip = final == 'l'
	case final == 'J' && args == "":
		for i := s.x; i < s.columns; i++ {
			s.cells[s.y][i] = " "
		}
		for _, row := range s.cells[s.y+1:] {
			for i := range row {
				row[i] = " "
			}
		}
	case final == 'A':
		n, err := strconv.Atoi(args)
		if err != nil {
			s.complain("not a number: %q", args)
		}
		s.y, s.wrap = max(0, s.y-n), false
	default:
		s.complain("unknown sequence %q", text[:end+1])
	}
	return end + 1
}

func (s *screen) put(r rune) {
	switch {
	case r == '\r':
		s.x, s.wrap = 0, false
	case r == '\n':
		s.down()
	case r < 0x20 || r >= 0x7f && r < 0xa0:
		s.complain("control %q", r)
	default:
		s.print(r)
	}
}

func (s *screen) print(r rune) {
	w := min(width(string(r)), s.columns)
	if s.clip {
		s.x, s.wrap = min(s.x, s.columns-w), false
	}
	if s.wrap || s.x+w > s.columns {
		s.x, s.wrap = 0, false
		s.down()
	}
	for i := range w {
		s.cells[s.y][s.x+i] = ""
	}
	s.cells[s.y][s.x] = string(r)
	if s.x += w; s.x >= s.columns {
		s.x, s.wrap = s.columns-1, true
	}
}

func (s *screen) down() {
	if s.y++; s.y >= s.rows {
		s.scroll()
	}
}

func (s *screen) scroll() {
	s.saved = append(s.saved, strings.TrimRight(strings.Join(s.cells[0], ""), " "))
	blank := make([]string, s.columns)
	for i := range blank {
		blank[i] = " "
	}
	s.cells = append(s.cells[1:], blank)
	s.y--
}

// String is all that was ever scrolled away and what is on the screen, with
// the cursor as ▮.
func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, row := range s.saved {
		b.WriteString(row + "\n")
	}
	last := s.y
	for i, row := range s.cells {
		if strings.TrimSpace(strings.Join(row, "")) != "" {
			last = max(last, i)
		}
	}
	for i, row := range s.cells[:last+1] {
		text := strings.Join(row, "")
		if i == s.y {
			text = strings.Join(row[:s.x], "") + "▮" + strings.Join(row[s.x:], "")
		}
		b.WriteString(strings.TrimRight(text, " ") + "\n")
	}
	return b.String()
}
