package lsp

import "testing"

func TestPositionsAreInUTF16(t *testing.T) {
	const src = "aé😀b\r\n\nx = \"日本\"\n"
	tests := []struct {
		offset int
		want   position
	}{
		{0, position{0, 0}},
		{1, position{0, 1}},            // é: 2 bytes, 1 unit
		{3, position{0, 2}},            // 😀: 4 bytes, 2 units
		{7, position{0, 4}},            // b
		{8, position{0, 5}},            // the end of the line
		{10, position{1, 0}},           // the empty line
		{11, position{2, 0}},           // x
		{16, position{2, 5}},           // 日: 3 bytes, 1 unit
		{22, position{2, 7}},           // the quote
		{len(src), position{3, 0}},     // the end
		{len(src) + 9, position{3, 0}}, // behind it
		{-1, position{0, 0}},           // before it
	}
	text := newText([]byte(src))
	for _, test := range tests {
		if got := text.position(test.offset); got != test.want {
			t.Errorf("offset %d is %v, want %v", test.offset, got, test.want)
		}
		if test.offset < 0 || test.offset > len(src) {
			continue
		}
		if got := text.offset(test.want); got != test.offset {
			t.Errorf("%v is offset %d, want %d", test.want, got, test.offset)
		}
	}
}

func TestPositionsOutsideOfTheText(t *testing.T) {
	text := newText([]byte("ab\r\n😀\rc"))
	tests := []struct {
		at   position
		want int
	}{
		{position{0, 99}, 2}, // the end of the line, before its break
		{position{1, 1}, 4},  // in the middle of a pair
		{position{1, 2}, 8},
		{position{2, 0}, 9},
		{position{2, 5}, 10},
		{position{7, 0}, 10},
		{position{-1, 0}, 0},
	}
	for _, test := range tests {
		if got := text.offset(test.at); got != test.want {
			t.Errorf("%v is offset %d, want %d", test.at, got, test.want)
		}
	}
}
