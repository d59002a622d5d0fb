package index

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// load reads the journal, if that has not been done. A reader takes no lock:
// records are only appended, and a file that is replaced stays whole for who
// has it open. What looks damaged may be a record that is being written; it is
// looked at again when nobody writes. The caller holds mu.
func (l *Local) load() {
	if l.loaded || l.dir == "" {
		return
	}
	l.loaded = true
	if err := checkDir(l.dir); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			l.tell("open", fmt.Errorf("index: %w; it is not used", err))
		}
		return
	}
	err := l.readAll()
	if errors.Is(err, errDamaged) {
		release, lockErr := l.lock(context.Background(), lockFile, false)
		if lockErr == nil {
			err = l.readAll()
			release()
		}
	}
	l.tellRead(err)
}

// tellRead warns of what went wrong with reading the journal.
func (l *Local) tellRead(err error) {
	switch {
	case err == nil || errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, errDamaged):
		l.tell("journal", fmt.Errorf("index: %s %w; %d entries before that are used", l.path(journalFile), err, len(l.table.slots)))
	default:
		l.tell("open", fmt.Errorf("index: %w; it is not used", err))
	}
}

// readAll reads the journal from its start.
func (l *Local) readAll() error {
	l.table, l.file = newTable(0), nil
	f, err := openOwn(l.path(journalFile), os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	return l.readOn(f)
}

// readOn reads what the journal f has more than the table knows.
func (l *Local) readOn(f *os.File) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if l.file == nil || !os.SameFile(l.file, fi) || fi.Size() < l.table.size {
		l.table = newTable(int(fi.Size() / 512))
	}
	l.file = fi
	if fi.Size() > maxJournal {
		return fmt.Errorf("%s has %d bytes: it %w", f.Name(), fi.Size(), errDamaged)
	}
	data := make([]byte, fi.Size()-l.table.size)
	n, err := f.ReadAt(data, l.table.size)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return l.table.read(data[:n])
}

// append adds records to the journal and syncs it. What others have appended
// is read on the way; what is damaged is cut off.
func (l *Local) append(ctx context.Context, records []byte) error {
	f, err := l.appendLocked(ctx, records)
	if err != nil {
		return err
	}
	// Synced without the lock, so that many writers share one sync.
	return errors.Join(f.Sync(), f.Close())
}

func (l *Local) appendLocked(ctx context.Context, records []byte) (*os.File, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	release, err := l.lock(ctx, lockFile, true)
	if err != nil {
		return nil, err
	}
	defer release()
	f, err := l.openJournal()
	if err != nil {
		return nil, err
	}
	if l.table.size == 0 {
		records = append([]byte(journalHeader), records...)
	}
	before := l.table.size
	if _, err := f.WriteAt(records, before); err != nil {
		return nil, errors.Join(err, f.Truncate(before), f.Close())
	}
	if err := l.table.read(records); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if before == 0 {
		if err := syncDir(l.dir); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return f, nil
}

// openJournal opens the journal for writing, and brings the table up to date
// with it. The caller holds mu and the lock.
func (l *Local) openJournal() (*os.File, error) {
	f, err := openOwn(l.path(journalFile), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	err = l.readOn(f)
	l.loaded = true
	if err == nil {
		return f, nil
	}
	if !errors.Is(err, errDamaged) {
		return nil, errors.Join(err, f.Close())
	}
	l.tellRead(err)
	if err := f.Truncate(l.table.size); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// rewrite replaces the journal by one of slots. The caller holds mu and the
// lock.
func (l *Local) rewrite(slots []*slot) error {
	data := encode(slots)
	if err := replace(l.path(journalFile), data); err != nil {
		return err
	}
	t := newTable(len(slots))
	if err := t.read(data); err != nil {
		return err
	}
	fi, err := os.Lstat(l.path(journalFile))
	if err != nil {
		return err
	}
	l.table, l.file = t, fi
	return nil
}

// usedEvery is how exact the time of the last use is kept. A run in which
// nothing changed shall write nothing.
const usedEvery = 24 * time.Hour

// mark records that the entries found by Get were used.
func (l *Local) mark(ctx context.Context) error {
	l.mu.Lock()
	var keys []key
	now := l.now()
	for k := range l.hits {
		if s := l.table.slots[k]; s != nil && now.Sub(time.Unix(s.used, 0)) > usedEvery {
			keys = append(keys, k)
		}
	}
	clear(l.hits)
	l.mu.Unlock()
	if len(keys) == 0 {
		return nil
	}
	if err := l.append(ctx, appendUsed(nil, keys, now)); err != nil {
		return fmt.Errorf("index: noting what was used: %w", err)
	}
	return nil
}
