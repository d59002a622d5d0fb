package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	sysuser "github.com/moby/sys/user"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

const rootlessHint = "install newuidmap (apt-get install uidmap) with a range of ids for you in /etc/subuid and /etc/subgid, " +
	"or run as root, or use another engine with --engine"

// serveMapped runs the engine without privileges: as the root of a user
// namespace, whose other users are ids that the administrator lent to ours. The
// kernel makes a namespace only for a new process, so this one starts it and
// waits for it.
func serveMapped(ctx context.Context, opts ServeOptions, ready *readyWire) error {
	maps, err := findMappings()
	if err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	wait, mapped, err := os.Pipe()
	if err != nil {
		return err
	}
	defer wait.Close()
	defer mapped.Close()

	opts.MappedFD, opts.ReadyFD = 3, 0
	files := []*os.File{wait}
	if ready.wire != nil {
		files = append(files, ready.wire)
		opts.ReadyFD = 4
	}
	cmd := exec.CommandContext(ctx, exe, opts.args()...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = files
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS}
	if err := cmd.Start(); err != nil {
		return &RuntimeError{
			Problem: fmt.Sprintf("this system gives user %d no user namespace, which the embedded engine needs without root (%v)", os.Geteuid(), err),
			Hint:    "allow them (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns), or run as root, or use another engine with --engine",
		}
	}
	if err := maps.apply(ctx, cmd.Process.Pid); err != nil {
		return errors.Join(err, cmd.Process.Kill(), ignoreExit(cmd.Wait()))
	}
	if _, err := mapped.Write([]byte("go")); err != nil {
		return errors.Join(err, cmd.Process.Kill(), ignoreExit(cmd.Wait()))
	}
	if ready.wire != nil {
		err = ready.wire.Close() // the other process tells
		ready.wire = nil
	}
	return errors.Join(err, ignoreExit(cmd.Wait()))
}

// ignoreExit drops an exit status: the process has told what there is to tell.
func ignoreExit(err error) error {
	if _, isExit := errors.AsType[*exec.ExitError](err); isExit {
		return nil
	}
	return err
}

// becomeMapped waits until this process has its ids, and runs the program
// again: the kernel gives root's powers in a namespace at exec.
func becomeMapped(opts ServeOptions) error {
	wait := os.NewFile(uintptr(opts.MappedFD), "mapped")
	word, err := io.ReadAll(io.LimitReader(wait, 2))
	if err = errors.Join(err, wait.Close()); err != nil || string(word) != "go" {
		return errors.Join(errors.New("no ids were mapped"), err)
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	opts.MappedFD = 0
	if opts.ReadyFD != 0 {
		keepOnExec(opts.ReadyFD)
	}
	return syscall.Exec(exe, append([]string{exe}, opts.args()...), os.Environ())
}

// mappings are the two programs that map ids, with what they shall map.
type mappings struct {
	users, groups   string
	uidMap, gidMaps []string
}

// findMappings reads which ids the administrator lent to this user.
func findMappings() (mappings, error) {
	var m mappings
	lack := func(what string) error {
		return &RuntimeError{
			Problem: fmt.Sprintf("user %d cannot run the embedded engine without root: %s", os.Geteuid(), what),
			Hint:    rootlessHint,
		}
	}
	var err error
	if m.users, err = exec.LookPath("newuidmap"); err != nil {
		return m, lack("there is no newuidmap")
	}
	if m.groups, err = exec.LookPath("newgidmap"); err != nil {
		return m, lack("there is no newgidmap")
	}
	names := []string{strconv.Itoa(os.Getuid())}
	if u, err := user.Current(); err == nil {
		names = append(names, u.Username)
	}
	if m.uidMap, err = lentIDs("/etc/subuid", os.Geteuid(), names); err != nil {
		return m, lack(err.Error())
	}
	if m.gidMaps, err = lentIDs("/etc/subgid", os.Getegid(), names); err != nil {
		return m, lack(err.Error())
	}
	return m, nil
}

// lentIDs makes the arguments of newuidmap: own becomes 0, and the ids that
// file lends to one of names follow.
func lentIDs(file string, own int, names []string) ([]string, error) {
	ranges, err := sysuser.ParseSubIDFileFilter(file, func(s sysuser.SubID) bool {
		return s.Name == names[0] || s.Name == names[len(names)-1]
	})
	if err != nil {
		return nil, err
	}
	if len(ranges) == 0 {
		return nil, fmt.Errorf("%s has no range for %s", file, strings.Join(names, " or "))
	}
	args := []string{"0", strconv.Itoa(own), "1"}
	next := int64(1)
	for _, r := range ranges {
		args = append(args, strconv.FormatInt(next, 10), strconv.FormatInt(r.SubID, 10), strconv.FormatInt(r.Count, 10))
		next += r.Count
	}
	return args, nil
}

// apply maps the ids of a process that has just got its user namespace.
func (m mappings) apply(ctx context.Context, pid int) error {
	for _, step := range []struct {
		program string
		args    []string
	}{{m.users, m.uidMap}, {m.groups, m.gidMaps}} {
		out, err := exec.CommandContext(ctx, step.program, append([]string{strconv.Itoa(pid)}, step.args...)...).CombinedOutput()
		if err != nil {
			return &RuntimeError{
				Problem: fmt.Sprintf("%s refuses to map ids: %s", step.program, strings.TrimSpace(string(out))),
				Hint:    rootlessHint,
			}
		}
	}
	return nil
}

// keepOnExec lets the next program have a file.
func keepOnExec(fd int) {
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
		logrus.Warn(err)
	}
}
