// Command work is the program in the images of the builds that are timed. Its
// binary must be static, because there is nothing else in them.
//
//	work sum DIR FILE    writes a hash of all files in DIR to FILE
//	work sleep TIME      sleeps, as 4s
package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

func main() {
	if err := work(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "work:", err)
		os.Exit(1)
	}
}

func work(args []string) error {
	switch {
	case len(args) == 3 && args[0] == "sum":
		sum, err := sum(os.DirFS(args[1]))
		if err != nil {
			return err
		}
		return os.WriteFile(args[2], []byte(sum+"\n"), 0o644)
	case len(args) == 2 && args[0] == "sleep":
		d, err := time.ParseDuration(args[1])
		time.Sleep(d)
		return err
	}
	return errors.New("usage: work sum DIR FILE | work sleep TIME")
}

func sum(dir fs.FS) (string, error) {
	h := sha256.New()
	err := fs.WalkDir(dir, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(dir, path)
		fmt.Fprintf(h, "%q %x\n", path, sha256.Sum256(data))
		return err
	})
	return fmt.Sprintf("%x", h.Sum(nil)), err
}
