package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-db/holdfast/internal/blob/file"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/restore"
)

// trial is one of the cases that need much space or time.
type trial struct {
	name string
	room int64 // bytes that it needs below TMPDIR
	run  func(*rig, longOptions) error
}

type longOptions struct{ reader time.Duration }

// Sizes in bytes.
const (
	mib = 1 << 20
	gib = 1 << 30
)

var trials = []trial{
	{"transaction", 6 * gib, (*rig).largeTransaction},
	{"large", 14 * gib, (*rig).largeDatabase},
	{"reserved", gib, (*rig).reservedBytes},
	{"reader", 4 * gib, (*rig).longReader},
}

// long runs the trials, each in a directory of its own.
func long(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("torture long", flag.ExitOnError)
	var opts longOptions
	flags.DurationVar(&opts.reader, "reader", time.Hour, "how long the reader holds its transaction")
	only := flags.String("only", "", "one trial: transaction, large, reserved or reader")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ran := 0
	for _, t := range trials {
		if *only != "" && *only != t.name {
			continue
		}
		ran++
		if err := t.carryOut(ctx, opts); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	if ran == 0 {
		return fmt.Errorf("no trial is named %q", *only)
	}
	return nil
}

func (t trial) carryOut(ctx context.Context, opts longOptions) (err error) {
	if err := hasRoom(os.TempDir(), t.room); err != nil {
		return err
	}
	begun := time.Now()
	r, err := newLongRig(ctx, t.name)
	if err != nil {
		return err
	}
	defer func() {
		r.note("ended: %v", err)
		r.end()
		if err == nil || ctx.Err() != nil {
			_ = os.RemoveAll(r.dir)
		} else {
			err = fmt.Errorf("%w; its directory is %s", err, r.dir)
		}
	}()
	fmt.Printf("%s:\n", t.name)
	if err := t.run(r, opts); err != nil {
		return err
	}
	fmt.Printf("%s: ok, %v\n", t.name, time.Since(begun).Round(time.Second))
	return nil
}

// hasRoom tells whether there is as much room below dir as a trial needs.
func hasRoom(dir string, need int64) error {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return err
	}
	if have := int64(s.Bavail) * s.Bsize; have < need {
		return fmt.Errorf("%s has %d MiB of room and %d are needed: set TMPDIR to a directory that has", dir, have/mib, need/mib)
	}
	return nil
}

// newLongRig prepares a rig on which nothing goes wrong.
func newLongRig(ctx context.Context, name string) (*rig, error) {
	dir, err := os.MkdirTemp("", "holdfast-torture-"+name+"-")
	if err != nil {
		return nil, err
	}
	r := &rig{ctx: ctx, dir: dir, tally: newTally(), shape: shape{
		pageSize: 4096, synchronous: "NORMAL", logLimit: -1, scrub: -1, interval: 100 * time.Millisecond, window: time.Minute,
	}}
	if r.log, err = os.Create(filepath.Join(dir, "steps.log")); err != nil {
		return nil, err
	}
	return r, os.Mkdir(filepath.Dir(r.path()), 0o700)
}

// begin makes the database and connects an application to it.
func (r *rig) begin(shell bool) (*app, error) {
	if err := newDatabase(r.path(), r.shape, 1, 20); err != nil {
		return nil, err
	}
	a, err := startApp("app", shell, r.path())
	if err != nil {
		return nil, err
	}
	r.apps = append(r.apps, a)
	_, err = a.run("PRAGMA synchronous=NORMAL;", ".timeout 60000")
	return a, err
}

// compareFiles waits until all is shipped, ends everything in order, restores,
// and compares the files.
func (r *rig) compareFiles(within time.Duration) error {
	begun := time.Now()
	if err := r.awaitShipped(begun, within); err != nil {
		return err
	}
	say("shipped %v after the last commit; the worker's memory was at most %s", time.Since(begun).Round(time.Millisecond), peakMemory(r.worker.cmd.Process.Pid))
	for _, a := range r.apps {
		if _, err := a.run("PRAGMA wal_checkpoint(TRUNCATE);"); err != nil {
			return err
		}
	}
	for len(r.apps) > 0 {
		if err := r.close(r.apps[0]); err != nil {
			return err
		}
	}
	if err := errors.Join(r.unobserve(), r.stopWorker(nil)); err != nil {
		return err
	}
	if _, err := os.Stat(r.path() + "-wal"); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("the log is still there when all have closed: %w", err)
	}
	out := filepath.Join(r.dir, "restored.db")
	begun = time.Now()
	res, err := restore.Run(r.ctx, replica.New(file.New(r.replica())), restore.Options{Output: out})
	if err != nil {
		return err
	}
	say("restored TXID %s, %d MiB from %d objects of %d MiB, %v", res.TXID, res.Bytes/mib, res.Objects, res.Fetched/mib, time.Since(begun).Round(time.Millisecond))
	return sameFiles(out, r.path())
}

func say(format string, args ...any) { fmt.Printf("  "+format+"\n", args...) }

// peakMemory returns the most memory that a process has had, in its own words.
func peakMemory(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(b)) {
		if size, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			return strings.TrimSpace(size)
		}
	}
	return "unknown"
}

// sameFiles compares two files, which may be larger than memory.
func sameFiles(got, want string) error {
	a, err := os.Open(got)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := os.Open(want)
	if err != nil {
		return err
	}
	defer b.Close()
	x, y := make([]byte, mib), make([]byte, mib)
	left, right := bufio.NewReaderSize(a, mib), bufio.NewReaderSize(b, mib)
	for at := int64(0); ; at += mib {
		n, errA := io.ReadFull(left, x)
		m, errB := io.ReadFull(right, y)
		if !bytes.Equal(x[:n], y[:m]) {
			return fmt.Errorf("the restored file differs from the source within the MiB at byte %d", at)
		}
		if errA != nil || errB != nil {
			if atEnd(errA) && atEnd(errB) {
				return nil
			}
			return errors.Join(errA, errB)
		}
	}
}

func atEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
