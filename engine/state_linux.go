package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/moby/sys/mountinfo"
	"github.com/sirupsen/logrus"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// clearLeftovers removes what an engine that was killed left in h: containers,
// mounts, temporary files. What does not lie in its folders is not its own.
func clearLeftovers(runtime string, h home, temp string) {
	dirs := h.workFolders(temp)
	removeContainers(runtime, dirs)
	clearFolders(dirs)
}

// workFolders are where an engine of h makes what is not to last.
func (h home) workFolders(temp string) []string {
	var dirs []string
	if isOurFolder(temp) {
		dirs = append(dirs, temp)
	}
	for _, sub := range []string{"executor", "cachemounts"} {
		found, err := filepath.Glob(filepath.Join(h.root(), "runc-*", sub))
		if err == nil {
			dirs = append(dirs, found...)
		}
	}
	for i, dir := range dirs {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			dirs[i] = real // as the kernel tells mounts
		}
	}
	return dirs
}

// clearFolders empties folders, once nothing is mounted in them any more. What
// stays is logged: it takes room, but does no harm.
func clearFolders(dirs []string) {
	if left := unmountBelow(dirs); left > 0 {
		logrus.Warnf("%d mounts stay: their folders are left alone", left)
		return
	}
	for _, dir := range dirs {
		if err := emptyFolder(dir); err != nil {
			logrus.Warn(err)
		}
	}
}

// isOurFolder keeps us from following what another user has put where a folder
// of ours in a shared one had been.
func isOurFolder(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir() && int(info.Sys().(*syscall.Stat_t).Uid) == os.Geteuid()
}

// A container is what runc and crun list.
type container struct {
	ID     string `json:"id"`
	Bundle string `json:"bundle"`
}

// removeContainers ends the containers whose bundles lie in dirs.
func removeContainers(runtime string, dirs []string) {
	ctx, cancel := context.WithTimeout(context.Background(), runtimePatience)
	defer cancel()
	list, err := exec.CommandContext(ctx, runtime, "list", "--format", "json").Output()
	var all []container
	if err == nil {
		err = json.Unmarshal(list, &all)
	}
	if err != nil {
		logrus.Warnf("listing containers that were left: %v", err)
		return
	}
	for _, c := range all {
		if !isBelowAny(c.Bundle, dirs) {
			continue
		}
		out, err := exec.CommandContext(ctx, runtime, "delete", "--force", c.ID).CombinedOutput()
		logrus.Warnf("removing container %s, which was left: %v %s", c.ID, err, out)
	}
}

// unmountBelow takes away the mounts in dirs and says how many it could not.
func unmountBelow(dirs []string) (left int) {
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return !isBelowAny(m.Mountpoint, dirs), false
	})
	if err != nil {
		logrus.Warn(err)
		return 1
	}
	slices.Reverse(mounts) // the kernel lists what is mounted on before what is on it
	for _, m := range mounts {
		err := unix.Unmount(m.Mountpoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		logrus.Warnf("unmounting %s, which was left: %v", m.Mountpoint, err)
		if err != nil {
			left++
		}
	}
	return left
}

func isBelowAny(path string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool {
		return strings.HasPrefix(path, dir+string(filepath.Separator))
	})
}

func emptyFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// checkState looks whether BuildKit's databases are whole, as they may not be
// after a kill. Records of the cache hang together, so one broken database
// puts all state aside.
func (h home) checkState(ready *readyWire) error {
	for _, pattern := range []string{"*.db", "runc-*/*.db"} {
		files, err := filepath.Glob(filepath.Join(h.root(), pattern))
		if err != nil {
			return err
		}
		for _, file := range files {
			if err := checkDatabase(file); err != nil {
				logrus.Warnf("%s: %v", file, err)
				return h.putStateAside(ready)
			}
		}
	}
	return nil
}

// checkDatabase reads a database through and through.
func checkDatabase(path string) error {
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(func(tx *bolt.Tx) error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if tx.Size() > info.Size() {
			return fmt.Errorf("it ends after %d of %d bytes", info.Size(), tx.Size())
		}
		var problems []error
		for problem := range tx.Check() {
			problems = append(problems, problem)
		}
		return errors.Join(problems...)
	})
}

// putStateAside lets BuildKit begin anew. The broken state is kept for who
// wants to look at it, until the next one.
func (h home) putStateAside(ready *readyWire) error {
	old, err := filepath.Glob(h.root() + ".bad-*")
	if err != nil {
		return err
	}
	slices.Sort(old)
	for len(old) >= keptBadStates {
		if err := os.RemoveAll(old[0]); err != nil {
			return err
		}
		old = old[1:]
	}
	aside := h.root() + ".bad-" + time.Now().UTC().Format("20060102T150405Z")
	if err := os.Rename(h.root(), aside); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	ready.notice("the embedded engine's cache was damaged and is now " + aside + "; the engine starts with an empty one")
	return nil
}
