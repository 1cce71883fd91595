package source

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// rival is the program that cannot be at work on a database beside this one: it
// checkpoints when it sees fit, and writes to the database to do so.
const rival = "litestream"

const (
	// rivalFresh is how old what is known of its locks may be.
	rivalFresh = 5 * time.Second

	// rivalAhead is by how much it may be older than the opening of a database: a thousand
	// that are opened one after the other would each read all locks.
	rivalAhead = 250 * time.Millisecond
)

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
	for _, f := range []*os.File{db.file, db.shm} {
		id, err := stampOf(f, "")
		if err != nil {
			return "", err
		}
		if pid, err := rivals.holder(id.FileID, db.opened); pid != "" || err != nil {
			return pid, err
		}
	}
	return "", nil
}

// rivals is what all databases of this process know of Litestream: a thousand of them
// have thousands of locks, which each would have to go through.
var rivals rivalLocks

// rivalLocks are the locks that processes of the rival's name hold.
type rivalLocks struct {
	mu      sync.Mutex
	read    time.Time
	holders map[string]string // process ids by file, as /proc/locks names it
}

// holder returns the id of such a process with a lock on a file. That there is none may
// be as old as rivalFresh, and rivalAhead before since; that there is one is so now.
func (r *rivalLocks) holder(id FileID, since time.Time) (pid string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(id.Device), unix.Minor(id.Device), id.Inode)
	if now := time.Now(); r.holders[file] != "" || r.read.Before(since.Add(-rivalAhead)) || now.Sub(r.read) >= rivalFresh {
		if r.holders, err = readRivals(); err != nil {
			return "", err
		}
		r.read = now
	}
	return r.holders[file], nil
}

func readRivals() (map[string]string, error) {
	locks, err := os.Open("/proc/locks")
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer locks.Close() //nolint:errcheck // only read
	holders := make(map[string]string)
	named := map[string]bool{strconv.Itoa(os.Getpid()): false} // whether a process has the name
	for lines := bufio.NewScanner(locks); lines.Scan(); {
		// 1: POSIX ADVISORY READ 4711 08:01:131077 1073741826 1073742335
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[1] != "POSIX" {
			continue
		}
		pid := fields[4]
		its, known := named[pid]
		if !known {
			name, err := os.ReadFile("/proc/" + pid + "/comm")
			its = err == nil && strings.TrimSpace(string(name)) == rival
			named[pid] = its
		}
		if its {
			holders[fields[5]] = pid
		}
	}
	return holders, nil
}
