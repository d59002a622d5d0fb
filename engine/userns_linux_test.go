package engine

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// F44, T25: without root the engine works by ids that the administrator lent.
func TestFault_F44_Rootless(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("becoming another user takes root")
	}
	if _, err := exec.LookPath("newuidmap"); err != nil {
		t.Skip("newuidmap (uidmap) is not installed")
	}
	runAsNobody(t, "TestRootlessCommands", "nobody:100000:65536\n", &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS})
}

// F44: without lent ids the user is told what is missing.
func TestFault_F44_RootlessWithoutIDs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("becoming another user takes root")
	}
	runAsNobody(t, "TestRootlessRefusal", "root:100000:65536\n", &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS})
}

// F44: without user namespaces the user is told so.
func TestFault_F44_NoUserNamespaces(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("becoming another user takes root")
	}
	if _, err := exec.LookPath("newuidmap"); err != nil {
		t.Skip("newuidmap (uidmap) is not installed")
	}
	// A namespace of its own has a limit of its own on further ones.
	all := []syscall.SysProcIDMap{{Size: nobody + 1}}
	runAsNobody(t, "TestRootlessNoNamespaces", "nobody:1000:1000\n", &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
		UidMappings: all, GidMappings: all, GidMappingsEnableSetgroups: true,
	})
}

// runAsNobody runs a test as another user, to whom lent lends ids, in
// namespaces of its own, a mount namespace among them.
func runAsNobody(t *testing.T, test, lent string, namespaces *syscall.SysProcAttr) {
	t.Helper()
	dir := t.TempDir()
	for path := dir; path != os.TempDir(); path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "engine.test")
	text, err := os.ReadFile(exe)
	if err == nil {
		err = os.WriteFile(program, text, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(dir, "home")
	err = errors.Join(os.Mkdir(home, 0o700), os.Chown(home, nobody, nobody),
		os.WriteFile(filepath.Join(dir, "lent"), []byte(lent), 0o644),
		os.WriteFile(filepath.Join(dir, "sh"), busybox(t), 0o755))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(testContext(t), program, "-test.v", "-test.run=^"+test+"$")
	cmd.Env = []string{
		"STRATA_TEST_LENT=" + filepath.Join(dir, "lent"), shellProgram + "=" + filepath.Join(dir, "sh"),
		"HOME=" + home, "TMPDIR=" + home, "PATH=" + os.Getenv("PATH"),
	}
	cmd.SysProcAttr = namespaces
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+test) {
		t.Errorf("as another user: %v\n%s", err, out)
	}
}

// becomeNobody makes this test process the other user of runAsNobody, or says
// that it is none.
func becomeNobody(t *testing.T) bool {
	t.Helper()
	lent := os.Getenv("STRATA_TEST_LENT")
	if lent == "" {
		return false
	}
	for _, file := range []string{"/etc/subuid", "/etc/subgid"} {
		if err := unix.Mount(lent, file, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
	}
	err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(nobody), syscall.Setuid(nobody))
	if err != nil {
		t.Fatal(err)
	}
	return true
}

// TestRootlessCommands is the other user of TestFault_F44_Rootless.
func TestRootlessCommands(t *testing.T) {
	if !becomeNobody(t) {
		return // no test of its own
	}
	opts := Options{Address: "embedded", Dir: filepath.Join(os.Getenv("HOME"), "engine")}
	stopAtEnd(t, opts)
	e := mustOpen(t, opts)
	out, err := solve(testContext(t), t, e, "id -u; echo x >/file; chown 1000:2000 /file; stat -c %u:%g /file")
	if err != nil || out != "0\n1000:2000\n" {
		t.Errorf("the step printed %q: %v", out, err)
	}
	info := mustStatus(t, opts)
	if !info.Rootless || !slices.Equal(info.Clients, []int{os.Getpid()}) {
		t.Errorf("got the status %+v", info)
	}
	if t.Failed() {
		log, err := os.ReadFile(LogPath(opts))
		t.Logf("engine.log: %v\n%s", err, log)
	}
}

// TestRootlessRefusal is the other user of TestFault_F44_RootlessWithoutIDs.
func TestRootlessRefusal(t *testing.T) {
	if !becomeNobody(t) {
		return // no test of its own
	}
	_, err := Open(testContext(t), Options{Address: "embedded", Dir: filepath.Join(os.Getenv("HOME"), "engine")})
	var lack *RuntimeError
	if !errors.As(err, &lack) || !strings.Contains(lack.Hint, "/etc/subuid") {
		t.Errorf("Open says %v", err)
	}
}

// TestRootlessNoNamespaces is the other user of TestFault_F44_NoUserNamespaces.
func TestRootlessNoNamespaces(t *testing.T) {
	if os.Getenv("STRATA_TEST_LENT") == "" {
		return // no test of its own
	}
	if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	becomeNobody(t)
	_, err := Open(testContext(t), Options{Address: "embedded", Dir: filepath.Join(os.Getenv("HOME"), "engine")})
	var lack *RuntimeError
	if !errors.As(err, &lack) || !strings.Contains(lack.Problem, "no user namespace") || !strings.Contains(lack.Hint, "max_user_namespaces") {
		t.Errorf("Open says %v", err)
	}
}
