package index_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/strata-build/strata/cache/index"
)

// F16, F26: whatever a process had told of when it was killed is there, with
// its detail, and the index is as good as before.
func TestFault_F26(t *testing.T) {
	dir := t.TempDir()
	chmod(t, dir)
	told := map[string]bool{}
	for run := range 8 {
		name := fmt.Sprint("k", run)
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), "STRATA_INDEX_TEST_WRITER="+dir, "STRATA_INDEX_TEST_NAME="+name)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			told[lines.Text()] = true
			if n == run*3 {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
	}
	l := open(t, dir)
	for target := range told {
		e, ok := l.Get(fp(target))
		if !ok {
			t.Errorf("%s is lost", target)
			continue
		}
		if _, ok := l.Detail(e); !ok {
			t.Errorf("the detail of %s is lost", target)
		}
	}
	if len(told) < 8 {
		t.Errorf("only %d entries were told of", len(told))
	}
	put(t, l, entry("after", "after"), nil)
	if problems := must(l.Verify(t.Context())); len(problems) > 0 {
		t.Errorf("problems %+v", problems)
	}
}

// F21: on a full disk Put fails, what was put before is whole, and when there
// is room again all is well.
func TestFault_F21(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=256k,mode=0700"); err != nil {
		t.Fatalf("the tests run as root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	filler := filepath.Join(disk, "filler")
	if err := os.WriteFile(filler, make([]byte, 100<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	l := index.OpenLocal(filepath.Join(disk, "index"), index.LocalOptions{Warn: func(err error) { t.Errorf("warning: %v", err) }})
	var kept []string
	full := false
	for i := range 1000 {
		name := fmt.Sprint(i)
		e := entry(name, name)
		e.Revision = strings.Repeat("x", 700)
		err := l.Put(t.Context(), e, nil)
		if err == nil {
			kept = append(kept, name)
			continue
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		full = true
		if i > 300 {
			break
		}
	}
	if !full || len(kept) == 0 {
		t.Fatalf("%d entries fit, full is %v", len(kept), full)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	put(t, l, entry("after", "after"), detail("x"))
	l = index.OpenLocal(filepath.Join(disk, "index"), index.LocalOptions{Warn: func(err error) { t.Errorf("warning: %v", err) }})
	for _, name := range append(kept, "after") {
		if _, ok := l.Get(fp(name)); !ok {
			t.Errorf("%s is lost", name)
		}
	}
}
