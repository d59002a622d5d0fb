package engine

import (
	"errors"
	"os"
	"sync"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// A boundedLog is the log file that is also the process's stdout and stderr, so
// that Go's own last words are in it. One that grows too large is put aside,
// and the one put aside before is gone.
type boundedLog struct {
	path string
	mu   sync.Mutex
	size int64
}

// setLog sends BuildKit's messages to the log file at path, or leaves them on
// stderr.
func setLog(path string, toFile bool) error {
	logrus.SetFormatter(&logrus.TextFormatter{FullTimestamp: true, DisableColors: true})
	if !toFile {
		return nil
	}
	info, err := os.Stderr.Stat()
	if err != nil {
		return err
	}
	logrus.SetOutput(&boundedLog{path: path, size: info.Size()})
	return nil
}

func (l *boundedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size+int64(len(p)) > maxLog {
		if err := l.rotate(); err != nil {
			return 0, err
		}
	}
	n, err := os.Stderr.Write(p)
	l.size += int64(n)
	return n, err
}

func (l *boundedLog) rotate() error {
	if err := os.Rename(l.path, l.path+".1"); err != nil {
		return err
	}
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	l.size = 0
	return errors.Join(unix.Dup3(int(f.Fd()), 1, 0), unix.Dup3(int(f.Fd()), 2, 0), f.Close())
}
