// Package faultfs puts faults between local state and its file system, at a
// chosen call, so that a test can try each of them in turn.
//
// An FS counts the calls that change something, each once, and does to the n-th
// what it was told to. The files below are real ones, so that a test sees after
// the fault what a crash would have left.
package faultfs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/holdfast-db/holdfast/internal/ship"
)

// Op is a kind of call.
type Op string

// The kinds of calls.
const (
	Create  Op = "create"
	Write   Op = "write"
	Sync    Op = "sync"
	Close   Op = "close"
	Rename  Op = "rename" // named for where the file goes to
	Remove  Op = "remove"
	SyncDir Op = "sync directory"
)

// Call is one call that an FS has got.
type Call struct {
	Number int // among all calls, from 1
	Op     Op
	Name   string // last part of the path
	Fault  Kind   // what was done to it
}

// String returns the call as one line of a list.
func (c Call) String() string {
	if c.Fault == None {
		return fmt.Sprintf("%d %s %s", c.Number, c.Op, c.Name)
	}
	return fmt.Sprintf("%d %s %s: %s", c.Number, c.Op, c.Name, c.Fault)
}

// Kind says what goes wrong.
type Kind uint8

// The kinds of faults.
const (
	None       Kind = iota
	NoSpace         // ENOSPC, nothing is done
	IO              // EIO, nothing is done; a file that cannot be closed is closed
	ShortWrite      // half of the bytes are written, then ENOSPC
	Late            // EIO whatever came of it, which is done
	Dead            // EIO, nothing is done, from this call on: the process has died
)

// Kinds are all faults, for tests that try each.
var Kinds = []Kind{NoSpace, IO, ShortWrite, Late, Dead}

var kindNames = [...]string{"none", "no space", "input/output error", "short write", "done, yet an error", "dead"}

// String names what has happened to a call.
func (k Kind) String() string { return kindNames[k] }

// Applies tells whether k can happen to a call. Removing and closing need no
// space; only what gives a file a name, or takes it away, can fail late: content
// that was written without the writer knowing it is not relied on by anybody.
func (k Kind) Applies(op Op) bool {
	switch k {
	case None:
		return false
	case NoSpace:
		return op != Remove && op != Close
	case ShortWrite:
		return op == Write
	case Late:
		return op == Create || op == Rename || op == Remove
	}
	return true
}

// errno is what the failed call says.
func (k Kind) errno() syscall.Errno {
	if k == NoSpace || k == ShortWrite {
		return syscall.ENOSPC
	}
	return syscall.EIO
}

// FS is a ship.FS above another one. It is safe for concurrent use.
type FS struct {
	below ship.FS

	mu    sync.Mutex
	left  int // calls until the fault; 0 for none
	kind  Kind
	dead  bool
	onHit func()
	calls []Call
}

// New returns an FS without a fault.
func New(below ship.FS) *FS { return &FS{below: below} }

// Fail plans k for the n-th, from 1, of the coming calls that it applies to;
// then it runs hit, which may be nil, before the call returns. It replaces what
// was planned before.
func (f *FS) Fail(n int, k Kind, hit func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left, f.kind, f.dead, f.onHit = n, k, false, hit
}

// Die makes all calls from here on fail: the process has died.
func (f *FS) Die() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dead = true
}

// Heal takes back what was planned, and raises the dead.
func (f *FS) Heal() { f.Fail(0, None, nil) }

// Calls returns all calls so far, in order. Those of a dead process are not
// among them, but for the one in which it died.
func (f *FS) Calls() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// Failed returns those calls that something was done to.
func (f *FS) Failed() []Call {
	return slices.DeleteFunc(f.Calls(), func(c Call) bool { return c.Fault == None })
}

// begin counts a call and returns what shall happen to it.
func (f *FS) begin(op Op, name string) Kind {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return Dead
	}
	c := Call{Number: len(f.calls) + 1, Op: op, Name: filepath.Base(name)}
	if f.left > 0 && f.kind.Applies(op) {
		if f.left--; f.left == 0 {
			c.Fault, f.dead = f.kind, f.kind == Dead
			if f.onHit != nil {
				f.onHit()
			}
		}
	}
	f.calls = append(f.calls, c)
	return c.Fault
}

// do runs a call, or not, as was planned for it.
func (f *FS) do(op Op, name string, call func() error) error {
	k := f.begin(op, name)
	if k != None && k != Late {
		return &os.PathError{Op: string(op), Path: name, Err: k.errno()}
	}
	err := call()
	if k == Late {
		err = &os.PathError{Op: string(op), Path: name, Err: k.errno()}
	}
	return err
}

// Create implements ship.FS.
func (f *FS) Create(name string) (ship.File, error) {
	var below ship.File
	err := f.do(Create, name, func() (err error) {
		below, err = f.below.Create(name)
		return err
	})
	if err == nil {
		return &file{below: below, fs: f, name: name}, nil
	}
	if below != nil { // it is there, and its maker does not know
		_ = below.Close()
	}
	return nil, err
}

// Rename implements ship.FS.
func (f *FS) Rename(from, to string) error {
	return f.do(Rename, to, func() error { return f.below.Rename(from, to) })
}

// Remove implements ship.FS.
func (f *FS) Remove(name string) error {
	return f.do(Remove, name, func() error { return f.below.Remove(name) })
}

// SyncDir implements ship.FS.
func (f *FS) SyncDir(name string) error {
	return f.do(SyncDir, name, func() error { return f.below.SyncDir(name) })
}

// file is one that is being written.
type file struct {
	below ship.File
	fs    *FS
	name  string
}

// Write implements io.Writer.
func (w *file) Write(p []byte) (n int, err error) {
	switch k := w.fs.begin(Write, w.name); k {
	case None:
		return w.below.Write(p)
	case ShortWrite:
		if n, err = w.below.Write(p[:len(p)/2]); err != nil {
			return n, err
		}
		fallthrough
	default:
		return n, &os.PathError{Op: string(Write), Path: w.name, Err: k.errno()}
	}
}

// Sync implements ship.File.
func (w *file) Sync() error { return w.fs.do(Sync, w.name, w.below.Sync) }

// Close implements io.Closer. The descriptor does not leak when it fails.
func (w *file) Close() error {
	err := w.fs.do(Close, w.name, func() error { return nil })
	if below := w.below.Close(); err == nil {
		err = below
	}
	return err
}
