package main

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// writeLock is the byte of the -shm file whose lock is SQLite's write lock.
const writeLock = 120

// lookEvery is how often the lock is looked at: holds are known as exactly.
const lookEvery = 500 * time.Microsecond

// sentry looks on while an application works.
type sentry struct {
	stop, done chan struct{}
	holds      []float64 // of the write lock by the process pid, in ms
	logBytes   int64     // the most that the log's file had
	err        error
}

// guard looks at the lock and the log of database db until it is relieved. With
// pid 0 it counts no holds.
//
// It asks for a lock without taking it, and no SQLite of this process has the
// file open, so that closing it disturbs nobody.
func guard(db string, pid int) *sentry {
	s := &sentry{stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.err = s.look(db, int32(pid))
	}()
	return s
}

// relieve ends the sentry.
func (s *sentry) relieve() error {
	close(s.stop)
	<-s.done
	return s.err
}

func (s *sentry) look(db string, pid int32) error {
	shm, err := s.open(db + "-shm")
	if shm == nil || err != nil {
		return err
	}
	defer shm.Close()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var since time.Time
	for n := 0; ; n++ {
		holder, err := lockHolder(shm)
		if err != nil {
			return err
		}
		now := time.Now()
		switch held := pid != 0 && holder == pid; {
		case held && since.IsZero():
			since = now
		case !held && !since.IsZero():
			s.holds = append(s.holds, float64(now.Sub(since))/1e6)
			since = time.Time{}
		}
		if n%20 == 0 {
			if info, err := os.Stat(db + "-wal"); err == nil {
				s.logBytes = max(s.logBytes, info.Size())
			}
		}
		select {
		case <-s.stop:
			return nil
		case <-tick.C:
		}
	}
}

// open waits for the file; nil when there is none until the end.
func (s *sentry) open(name string) (*os.File, error) {
	for {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
		select {
		case <-s.stop:
			return nil, nil
		case <-time.After(lookEvery):
		}
	}
}

// lockHolder is the id of the process that holds the write lock; 0 for none.
func lockHolder(shm *os.File) (int32, error) {
	l := unix.Flock_t{Type: unix.F_WRLCK, Start: writeLock, Len: 1}
	if err := unix.FcntlFlock(shm.Fd(), unix.F_GETLK, &l); err != nil {
		return 0, err
	}
	if l.Type == unix.F_UNLCK {
		return 0, nil
	}
	return l.Pid, nil
}
