package lower

import "testing"

func TestOnlyVariableFrom(t *testing.T) {
	for text, want := range map[string]int{
		"":                                    0,
		"FROM scratch\n":                      0,
		"ARG B\nFROM ${B}\n":                  2,
		"ARG B\nfrom --platform=x $B AS a\n":  2,
		"FROM $A\nFROM $B\n":                  0,
		"FROM scratch\nRUN echo FROM $B\n":    0,
		"# FROM $A\nFROM scratch\nFROM $B:1":  3,
		"FROM\n":                              0,
		"FROM alpine\nCOPY --from=$B /a /b\n": 0,
	} {
		if got := onlyVariableFrom([]byte(text)); got != want {
			t.Errorf("%q: got %d, want %d", text, got, want)
		}
	}
}
