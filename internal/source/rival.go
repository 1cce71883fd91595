package source

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// rival is the program that cannot be at work on a database beside this one: it
// checkpoints when it sees fit, and writes to the database to do so.
const rival = "litestream"

// Rival finds Litestream at work on the database: a process of that name that
// holds a lock on its files, or files of its that have come since the last look.
// The error says so.
func (db *DB) Rival() error {
	pid, err := db.rivalProcess()
	if err != nil {
		return err
	}
	if pid != "" {
		return fmt.Errorf("%w: %s is replicated by Litestream too (process %s); stop one of the two", ErrContract, db.path, pid)
	}
	dir := filepath.Join(filepath.Dir(db.path), "."+filepath.Base(db.path)+"-litestream", "ltx", "0")
	info, err := os.Stat(dir)
	if err != nil {
		return nil //nolint:nilerr // it has none here
	}
	last := db.rivalWrote
	db.rivalWrote = info.ModTime()
	if last.IsZero() || last.Equal(db.rivalWrote) {
		return nil
	}
	return fmt.Errorf("%w: %s is replicated by Litestream too (%s changed at %s); stop one of the two",
		ErrContract, db.path, dir, db.rivalWrote.UTC().Format(time.RFC3339))
}

// rivalProcess returns the id of a process of that name that holds a lock on the
// database or its index, as /proc/locks tells; empty if there is none, or if the
// system does not tell.
func (db *DB) rivalProcess() (string, error) {
	locks, err := os.Open("/proc/locks")
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer locks.Close() //nolint:errcheck // only read
	files := make(map[string]bool)
	for _, f := range []*os.File{db.file, db.shm} {
		id, err := stampOf(f, "")
		if err != nil {
			return "", err
		}
		files[fmt.Sprintf("%02x:%02x:%d", unix.Major(id.Device), unix.Minor(id.Device), id.Inode)] = true
	}
	for lines := bufio.NewScanner(locks); lines.Scan(); {
		// 1: POSIX ADVISORY READ 4711 08:01:131077 1073741826 1073742335
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[1] != "POSIX" || !files[fields[5]] {
			continue
		}
		name, err := os.ReadFile("/proc/" + fields[4] + "/comm")
		if err == nil && strings.TrimSpace(string(name)) == rival {
			return fields[4], nil
		}
	}
	return "", nil
}
