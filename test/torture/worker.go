package main

import (
	"bufio"
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/driver"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/replica"
)

// workerSettings are what a worker process is started with.
type workerSettings struct {
	Database host.Database
	StateDir string
	Interval time.Duration
	Length   time.Duration // of a window
	Seed     uint64        // of the store's faults
	Rate     float64       // of operations on the store that meet one
	Away     bool          // the store is gone when the process starts
}

// Orders that a worker takes on its input, one a line.
const (
	orderAway   = "away"   // the store is gone
	orderBack   = "back"   // it is there again
	orderRate   = "rate"   // and a number: how often it goes wrong
	orderPause  = "pause"  // end the window
	orderResume = "resume" // begin the next one
	orderNow    = "now"    // cut a wait short
)

// report is what a worker prints, one a line: what a pass, a failure or a fault
// was, or a line of its log.
type report struct {
	Kind     string // one of the words below
	Text     string `json:",omitempty"`
	Type     string `json:",omitempty"`
	Attrs    map[string]string
	Progress host.Progress
	Files    int `json:",omitempty"`
	Held     int `json:",omitempty"` // hard checkpoints since the last report
}

const (
	reportPass    = "pass"
	reportFailure = "failure"
	reportFault   = "fault"
	reportLog     = "log"
	reportPaused  = "paused"
	reportCleanUp = "clean up"
	reportBegin   = "begin" // it knows what to do when it is told to end
	reportEnd     = "end"   // in order
)

// replicator is the worker process: the data plane as the real worker drives it,
// with a loop in place of the workflow.
type replicator struct {
	settings workerSettings
	host     *host.Host
	store    *moody
	stop     chan struct{} // closed when the process is told to end
	tried    bool          // to clean up, since the last pass
	wake     chan struct{}

	mu     sync.Mutex
	out    *json.Encoder
	paused bool
	spoken time.Time // when the last pass was reported
	txid   uint64
	held   int
}

// runWorker is the program of the worker process.
func runWorker(text string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	w := &replicator{stop: make(chan struct{}), wake: make(chan struct{}, 1), out: json.NewEncoder(os.Stdout)}
	if err := json.Unmarshal([]byte(text), &w.settings); err != nil {
		return err
	}
	if err := watchWriteLocks(); err != nil {
		return err
	}
	w.store = &moody{
		rand: rand.New(rand.NewPCG(w.settings.Seed, 1)), rate: w.settings.Rate, gone: w.settings.Away,
		tell: func(fault string) { w.say(report{Kind: reportFault, Text: fault}) },
	}
	h, err := host.New(host.Options{StateDir: w.settings.StateDir, Log: slog.New(logReporter{w}), OpenReplica: w.openReplica})
	if err != nil {
		return err
	}
	w.host = h
	context.AfterFunc(ctx, func() { close(w.stop) })
	w.say(report{Kind: reportBegin})
	go w.obey()
	w.loop(context.Background())
	closing, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	if err := h.Close(closing); err != nil {
		w.say(report{Kind: reportFailure, Type: "close", Text: err.Error()})
	}
	w.say(report{Kind: reportEnd})
	return nil
}

// closeWithin is what the real worker allows for an orderly end.
const closeWithin = 30 * time.Second

// openReplica opens the real store behind one that goes wrong, which lasts as
// long as the process.
func (w *replicator) openReplica(ctx context.Context, url string) (*replica.Replica, error) {
	u, err := blob.ParseURL(url)
	if err != nil {
		return nil, err
	}
	store, err := driver.Open(ctx, u, driver.Credentials{})
	if err != nil {
		return nil, err
	}
	return replica.New(over{w.store, store}), nil
}

func (w *replicator) say(r report) {
	w.mu.Lock()
	defer w.mu.Unlock()
	held := writeLocks()
	r.Held, w.held = held-w.held, held
	_ = w.out.Encode(r) // whoever reads is there, or nobody cares
}

// obey carries out orders until there are no more.
func (w *replicator) obey() {
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		order, argument, _ := strings.Cut(in.Text(), " ")
		switch order {
		case orderAway, orderBack:
			w.store.setGone(order == orderAway)
		case orderRate:
			rate, _ := strconv.ParseFloat(argument, 64)
			w.store.setRate(rate)
		case orderPause:
			w.setPaused(true)
			if err := w.host.StopSync(context.Background(), w.settings.Database.Name); err != nil {
				w.say(report{Kind: reportFailure, Type: "pause", Text: err.Error()})
			}
			w.say(report{Kind: reportPaused})
		case orderResume:
			w.setPaused(false)
		}
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// loop makes windows until the process is told to stop, and waits for longer
// after each failure.
func (w *replicator) loop(ctx context.Context) {
	failures := 0
	var head host.Progress
	for {
		select {
		case <-w.stop:
			return
		default:
		}
		if w.isPaused() {
			w.rest(time.Second)
			continue
		}
		res, err := w.host.Sync(ctx, host.Window{
			Database: w.settings.Database, Interval: w.settings.Interval, Length: w.settings.Length,
			Failures: failures, Head: head.TXID, TaskToken: []byte("token"), Stop: w.stop,
		}, w.passed)
		if res.TXID > head.TXID {
			head = res.Progress
		}
		if res.Passes > 0 {
			failures, w.tried = 0, false
		}
		if err != nil {
			failures++
			w.failed(ctx, err, failures, res.Progress)
		}
	}
}

// passed reports a pass, not all of those that shipped nothing.
func (w *replicator) passed(p host.Progress) {
	w.mu.Lock()
	quiet := uint64(p.TXID) == w.txid && time.Since(w.spoken) < passEvery
	if !quiet {
		w.txid, w.spoken = uint64(p.TXID), time.Now()
	}
	w.mu.Unlock()
	if !quiet {
		w.say(report{Kind: reportPass, Progress: p})
	}
}

// Times of the loop that stands in for the workflow, whose own are longer.
const (
	passEvery    = 20 * time.Millisecond
	firstBackoff = 10 * time.Millisecond
	lastBackoff  = 300 * time.Millisecond
	cleanUpFrom  = 3
)

func (w *replicator) failed(ctx context.Context, err error, failures int, p host.Progress) {
	kind, _ := activities.Classify(err)
	w.say(report{Kind: reportFailure, Type: kind, Text: err.Error(), Progress: p})
	if kind == activities.DiskFull && failures >= cleanUpFrom {
		removed, err := w.host.CleanUp(ctx, w.settings.Database, w.tried)
		w.tried = true
		r := report{Kind: reportCleanUp, Files: removed.Files}
		if err != nil {
			r.Text = err.Error()
		}
		w.say(r)
	}
	wait := min(lastBackoff, firstBackoff<<min(failures, 10))
	if asked, ok := blob.RetryAfter(err); ok {
		wait = asked
	}
	w.rest(wait)
}

// rest waits, until an order comes at the latest.
func (w *replicator) rest(wait time.Duration) {
	select {
	case <-time.After(wait):
	case <-w.wake:
	case <-w.stop:
	}
}

func (w *replicator) setPaused(paused bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.paused = paused
}

func (w *replicator) isPaused() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.paused
}

// logReporter prints the data plane's log as reports.
type logReporter struct{ worker *replicator }

// Enabled implements slog.Handler.
func (logReporter) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (l logReporter) Handle(_ context.Context, r slog.Record) error {
	line := report{Kind: reportLog, Text: r.Message, Type: r.Level.String(), Attrs: make(map[string]string)}
	r.Attrs(func(a slog.Attr) bool {
		line.Attrs[a.Key] = a.Value.String()
		return true
	})
	l.worker.say(line)
	return nil
}

// WithAttrs implements slog.Handler; the data plane uses none.
func (l logReporter) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup implements slog.Handler; the data plane uses none.
func (l logReporter) WithGroup(string) slog.Handler { return l }
