// Command compare prints where strata bake --print and docker buildx bake
// --print differ on real bake files. Each argument is a file, which is read in
// its own directory. The exit status is 1 if any differs.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"

	"github.com/strata-build/strata/bench/internal/run"
)

func main() {
	strata := flag.String("strata", "../bin/strata", "strata `program`")
	buildx := flag.String("buildx", "bin/buildx", "buildx `program`")
	flag.Parse()
	differ, err := compareAll(os.Stdout, *strata, *buildx, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(2)
	}
	if differ > 0 {
		os.Exit(1)
	}
}

func compareAll(w io.Writer, strata, buildx string, files []string) (differ int, err error) {
	if strata, err = filepath.Abs(strata); err != nil {
		return 0, err
	}
	if buildx, err = filepath.Abs(buildx); err != nil {
		return 0, err
	}
	refused := 0
	for _, file := range files {
		if _, err := os.Stat(file); err != nil {
			return differ, err
		}
		dir, name := filepath.Split(file)
		ours := run.Run(dir, strata, "bake", "-f", name, "--print", "*")
		theirs := run.Run(dir, buildx, "bake", "-f", name, "--print", "*")
		if ours.Err != nil && theirs.Err != nil {
			refused++
		}
		diffs := compare(ours, theirs)
		if len(diffs) > 0 {
			differ++
		}
		for _, d := range diffs {
			fmt.Fprintf(w, "%s: %s\n", file, d)
		}
	}
	fmt.Fprintf(w, "%d files, %d differ, %d refused by both\n", len(files), differ, refused)
	return differ, nil
}

// compare lists how the results differ. That both refuse a file is the same,
// whatever they say.
func compare(ours, theirs run.Result) []string {
	switch {
	case ours.Err != nil && theirs.Err != nil:
		return nil
	case ours.Err != nil:
		return []string{"only strata refuses it: " + ours.Err.Error()}
	case theirs.Err != nil:
		return []string{"only buildx refuses it: " + theirs.Err.Error()}
	}
	var a, b any
	if err := json.Unmarshal(ours.Out, &a); err != nil {
		return []string{"strata prints no JSON: " + err.Error()}
	}
	if err := json.Unmarshal(theirs.Out, &b); err != nil {
		return []string{"buildx prints no JSON: " + err.Error()}
	}
	return differences("", a, b)
}

// differences lists the places at which two values differ.
func differences(at string, ours, theirs any) []string {
	x, isObject := ours.(map[string]any)
	y, both := theirs.(map[string]any)
	if isObject && both {
		var out []string
		for _, key := range keys(x, y) {
			out = append(out, differences(at+"."+strconv.Quote(key), x[key], y[key])...)
		}
		return out
	}
	if reflect.DeepEqual(ours, theirs) {
		return nil
	}
	return []string{fmt.Sprintf("%s is %s, with buildx %s", at, text(ours), text(theirs))}
}

func keys(objects ...map[string]any) []string {
	var all []string
	for _, o := range objects {
		for k := range o {
			all = append(all, k)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func text(v any) string {
	if v == nil {
		return "missing"
	}
	out, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(out)
}
