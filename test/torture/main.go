// Command torture tries to break replication: for each seed it lets several
// applications, of two versions of SQLite, do to a database what applications
// do, while their worker, their disk, the store and they themselves fail; then it
// restores, and compares each page with what SQLite itself saw.
//
// A seed decides what happens in which order. How it falls together in time is
// up to the machine, so that a failure may take several runs of its seed to show
// itself again.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/holdfast-db/holdfast/test/shim"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "app" {
		exit(application(os.Args[2]))
	}
	if len(os.Args) == 3 && os.Args[1] == "worker" {
		exit(runWorker(os.Args[2]))
	}
	if os.Getenv(inNamespace) == "" {
		if code, ran := enterNamespace(); ran {
			os.Exit(code)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) > 1 && os.Args[1] == "long" {
		err = long(ctx, os.Args[2:])
	} else {
		err = torture(ctx, os.Args[1:])
	}
	stop()
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "torture: %v\n", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// torture runs seeds until one fails.
func torture(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("torture", flag.ExitOnError)
	seeds := flags.Uint64("seeds", 20, "how many seeds")
	start := flags.Uint64("start", 1, "the first seed")
	goOn := flags.Bool("go-on", false, "go on after a seed that fails")
	keep := flags.Bool("keep", false, "keep the directories of all seeds")
	logs := flags.String("logs", "", "directory for the step logs of all seeds")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "holdfast-torture-")
	if err != nil {
		return err
	}
	t := &tormentor{ctx: ctx, dir: dir, keep: *keep, logs: *logs, total: newTally()}
	if t.shim, err = shim.BuildIn(dir); err != nil {
		return err
	}
	if err := mayMount(dir); err != nil {
		fmt.Printf("LEFT OUT: full disks, for this user may not mount: %v\n", err)
	} else {
		t.mount = true
	}
	failed := t.all(*start, *seeds, *goOn)
	t.summary()
	_ = os.Remove(t.shim)
	_ = os.Remove(filepath.Join(dir, "shim.c"))
	_ = os.Remove(dir) // stays where something is kept
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d seeds failed; their directories are in %s", failed, t.done, dir)
	}
	return nil
}

// tormentor runs seeds.
type tormentor struct {
	ctx   context.Context
	dir   string
	shim  string
	mount bool
	keep  bool
	logs  string
	done  int
	total *tally
}

func (t *tormentor) all(start, seeds uint64, goOn bool) (failed int) {
	for seed := start; seed < start+seeds && t.ctx.Err() == nil; seed++ {
		if err := t.one(seed); err != nil && t.ctx.Err() == nil {
			failed++
			if !goOn {
				break
			}
		}
	}
	return failed
}

// one runs a seed and prints its line.
func (t *tormentor) one(seed uint64) error {
	begun := time.Now()
	r, err := newRig(t.ctx, seed, t.dir, t.shim, t.mount)
	if err != nil {
		t.done++
		fmt.Printf("seed %d: FAILED: not begun: %v\n", seed, err)
		return err
	}
	err = r.run()
	r.note("ended: %v", err)
	r.end()
	if t.ctx.Err() == nil {
		t.done++
	}
	keep := t.keep || err != nil && t.ctx.Err() == nil
	if r.disk != nil {
		if e := r.disk.unmount(keep); e != nil {
			fmt.Printf("seed %d: %v\n", seed, e)
		}
	}
	if b, e := os.ReadFile(filepath.Join(r.dir, "steps.log")); e == nil && t.logs != "" {
		_ = os.WriteFile(filepath.Join(t.logs, fmt.Sprintf("seed-%d.log", seed)), b, 0o600) // a help, no more
	}
	if !keep {
		_ = os.RemoveAll(r.dir)
	}
	t.total.merge(r.tally)
	took := time.Since(begun).Round(100 * time.Millisecond)
	switch {
	case t.ctx.Err() != nil:
		fmt.Printf("seed %d: interrupted\n", seed)
	case err != nil:
		t.complain(r, err)
	default:
		fmt.Printf("seed %d: ok, %d transactions, %d restores, %d faults of the store, %v\n", seed, r.tally.sumOf("transaction"), r.tally.get("restored"), r.tally.sumOf("fault"), took)
	}
	return err
}

// complain prints what is known of a seed that failed.
func (t *tormentor) complain(r *rig, err error) {
	fmt.Printf("seed %d: FAILED: %v\n", r.seed, err)
	if b, e := os.ReadFile(filepath.Join(r.dir, "steps.log")); e == nil {
		os.Stdout.Write(lastLines(b, 80)) //nolint:errcheck // nothing could be said of it
	}
	fmt.Printf("seed %d: FAILED: %v\n  all steps: %s\n  again:     make torture SEEDS=1 START=%d\n", r.seed, err, filepath.Join(r.dir, "steps.log"), r.seed)
}

func lastLines(b []byte, n int) []byte {
	at := len(b)
	for ; at > 0 && n >= 0; at-- {
		if b[at-1] == '\n' {
			n--
		}
	}
	return b[at:]
}

func (t *tormentor) summary() {
	fmt.Printf("\nwhat happened in %d seeds:\n", t.done)
	t.total.print(os.Stdout)
}
