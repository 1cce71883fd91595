package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// lockHost makes sure that this is the only worker of its host name on this
// machine. The lock lasts until release or the end of the process, however that
// comes about.
func lockHost(dir, host string) (release func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w; make it writable or set state-dir", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w; make the state directory writable or set state-dir", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		defer file.Close()
		return nil, fmt.Errorf("host %s: another worker of that name runs here, process %s; stop it, or give this one another host name", host, holder(file))
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("lock %s: %w; put state-dir on a file system with locks", file.Name(), err)
	}
	if err := file.Truncate(0); err == nil {
		fmt.Fprintln(file, os.Getpid())
	}
	return func() { _ = file.Close() }, nil
}

// holder reads the process id that the owner of the lock has left.
func holder(file *os.File) string {
	text, _ := io.ReadAll(io.LimitReader(file, 32))
	if pid := strings.TrimSpace(string(text)); pid != "" {
		return pid
	}
	return "unknown"
}
