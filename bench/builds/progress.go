package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// A transfer is one local source on its way to the daemon: its step and what
// moves.
type transfer struct{ step, id string }

// transfers remembers how far each came.
type transfers map[transfer]int64

func (t transfers) note(step, id string, current int64) {
	if strings.HasPrefix(id, "transferring ") {
		key := transfer{step, id}
		t[key] = max(t[key], current)
	}
}

func (t transfers) total() (sum int64) {
	for _, n := range t {
		sum += n
	}
	return sum
}

// A progress is what the JSON that a program writes about its build tells.
type progress struct {
	files     int64         // bytes of local files sent to the daemon, with their stat
	exportLag time.Duration // from the last step of the target base to the end of its export
}

func readProgress(p program, text []byte) (progress, error) {
	if p == strata {
		return readEvents(text)
	}
	return readStatus(text)
}

// readEvents reads the events of strata, see docs/reference/events.md.
func readEvents(text []byte) (progress, error) {
	sent := transfers{}
	var ready, done time.Time
	for line := range bytes.Lines(text) {
		var event struct {
			Schema  int
			Type    string
			Time    time.Time
			Target  string
			ID      string
			Current int64
			Count   int
			State   string
			Step    struct {
				ID       string
				Internal bool
			}
			Completed time.Time
		}
		if !isObject(line) {
			continue
		}
		if err := json.Unmarshal(line, &event); err != nil {
			return progress{}, fmt.Errorf("%q: %w", line, err)
		}
		switch {
		case event.Schema != 1:
			return progress{}, fmt.Errorf("events of schema %d", event.Schema)
		case event.Type == "dropped":
			return progress{}, fmt.Errorf("%d events are missing", event.Count)
		case event.Type == "progress":
			sent.note(event.Step.ID, event.ID, event.Current)
		case event.Type == "step" && event.Target == "base" && !event.Step.Internal && event.Completed.After(ready):
			ready = event.Completed
		case event.Type == "target-done" && event.Target == "base":
			done = event.Time
		}
	}
	return progress{sent.total(), lag(ready, done)}, nil
}

// readStatus reads the status of BuildKit that buildx writes.
func readStatus(text []byte) (progress, error) {
	sent := transfers{}
	var ready, done time.Time
	for line := range bytes.Lines(text) {
		var status struct {
			Vertexes []struct {
				Name      string
				Completed time.Time
			}
			Statuses []struct {
				ID      string
				Vertex  string
				Current int64
			}
		}
		if !isObject(line) {
			continue
		}
		if err := json.Unmarshal(line, &status); err != nil {
			return progress{}, fmt.Errorf("%q: %w", line, err)
		}
		for _, s := range status.Statuses {
			sent.note(s.Vertex, s.ID, s.Current)
		}
		for _, v := range status.Vertexes {
			switch {
			case strings.HasPrefix(v.Name, "[base internal]"):
			case strings.HasPrefix(v.Name, "[base] exporting") && v.Completed.After(done):
				done = v.Completed
			case strings.HasPrefix(v.Name, "[base ") && v.Completed.After(ready):
				ready = v.Completed
			}
		}
	}
	return progress{sent.total(), lag(ready, done)}, nil
}

// isObject tells JSON from warnings between it.
func isObject(line []byte) bool { return bytes.HasPrefix(line, []byte("{")) }

// lag is -1 if one of the two was not told.
func lag(ready, done time.Time) time.Duration {
	if ready.IsZero() || done.IsZero() {
		return -1
	}
	return done.Sub(ready)
}
