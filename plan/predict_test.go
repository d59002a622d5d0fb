package plan

import (
	"strings"
	"testing"
	"time"

	"github.com/strata-build/strata/graph"
)

// TestCritical reads graphs such as "base=1: app=5: base": targets with the
// seconds they take, none if they are not solved, and what they need.
func TestCritical(t *testing.T) {
	for graphText, want := range map[string]string{
		"":                             " 0s",
		"a":                            " 0s",
		"a=3":                          "a 3s",
		"a=1; b=5: a":                  "a b 6s",
		"a=1; b=5: a; c=2: a":          "a b 6s",
		"a=1; b=2: a; c=9: a; d=1:b c": "a c d 11s",
		"a; b=2: a":                    "b 2s", // what is reused takes no time
		"a=4; b: a; c=1: b":            "a c 5s",
		"a=7; b=1":                     "a 7s",
		"a=0; b=0: a":                  "a b 0s", // times are not known
		"a=2; b=2; c=1: a b":           "a c 3s",
	} {
		p := &Plan{}
		weights := map[graph.ID]time.Duration{}
		for _, part := range strings.Split(graphText, ";") {
			head, needs, _ := strings.Cut(strings.TrimSpace(part), ":")
			name, seconds, solved := strings.Cut(head, "=")
			if name == "" {
				continue
			}
			target := &Target{Name: name, Action: Reuse, Needs: strings.Fields(needs)}
			if solved {
				d, err := time.ParseDuration(seconds + "s")
				if err != nil {
					t.Fatal(err)
				}
				target.Action, weights[graph.ID(name)] = Solve, d
			}
			p.Targets = append(p.Targets, target)
		}
		p.critical(weights)
		if got := strings.Join(p.Critical, " ") + " " + p.Estimate.String(); got != want {
			t.Errorf("of %q the critical path is %q, want %q", graphText, got, want)
		}
	}
}
