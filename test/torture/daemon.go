package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// daemon is the worker process as its parent knows it.
type daemon struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	tally *tally
	begun chan struct{} // closed when it can be told to end
	ended chan struct{} // closed when the process has ended

	mu       sync.Mutex
	expected bool   // it was told to end, or killed
	last     report // the last pass
	failure  report // the last failure
	fatal    error  // one that replication must never meet
	paused   bool
	inOrder  bool // it said that it ended in order
	log      io.Writer
}

// startDaemon starts a worker. What it prints that is no report, such as a
// panic, goes to errors.
func startDaemon(s workerSettings, log io.Writer, errorsTo *os.File, t *tally) (*daemon, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	d := &daemon{cmd: exec.Command("/proc/self/exe", "worker", string(text)), tally: t, log: log}
	d.begun, d.ended = make(chan struct{}), make(chan struct{})
	d.cmd.SysProcAttr = ownGroup()
	d.cmd.Stderr = errorsTo
	if d.in, err = d.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the worker: %w", err)
	}
	go d.listen(out)
	return d, nil
}

func (d *daemon) listen(out io.Reader) {
	defer close(d.ended)
	in := bufio.NewReader(out)
	for {
		line, err := in.ReadBytes('\n')
		var r report
		if err == nil && json.Unmarshal(line, &r) == nil {
			d.hear(r)
		}
		if err != nil {
			break
		}
	}
	err := d.cmd.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.expected {
		d.fatal = errors.Join(d.fatal, fmt.Errorf("the worker ended by itself: %w", err))
	}
}

// hear takes note of a report.
func (d *daemon) hear(r report) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.Kind != reportPass {
		fmt.Fprintf(d.log, "%s worker: %s %s %s %v\n", clock(), r.Kind, r.Type, r.Text, r.Attrs)
	}
	d.tally.addN("hard checkpoint", r.Held)
	switch r.Kind {
	case reportPass:
		d.passed(r)
	case reportFailure:
		d.failure = r
		d.tally.add("failure " + r.Type)
		d.fatal = errors.Join(d.fatal, fatality(r))
	case reportFault:
		d.tally.add("fault " + r.Text)
	case reportLog:
		d.tally.add(logged(r))
	case reportCleanUp:
		d.tally.add("clean-up")
	case reportPaused:
		d.paused = true
	case reportBegin:
		close(d.begun)
	case reportEnd:
		d.inOrder = true
	}
}

// passed notes a pass. Progress counts within one window.
func (d *daemon) passed(r report) {
	if r.Progress.TXID != d.last.Progress.TXID {
		fmt.Fprintf(d.log, "%s worker: at %s, resyncs %d %s, spool %d\n", clock(), r.Progress.TXID,
			r.Progress.Resyncs, r.Progress.ResyncReason, r.Progress.SpoolBytes)
	}
	d.last = r
}

// fatality returns an error for a failure that must never be met.
func fatality(r report) error {
	switch r.Type {
	case "Fenced", "ReplicaDamaged":
		return fmt.Errorf("the worker met %s: %s", r.Type, r.Text)
	}
	return nil
}

// logged names a line of the data plane's log for the tally.
func logged(r report) string {
	name := "log: " + r.Text
	if rule := r.Attrs["rule"]; rule != "" {
		name += ", rule " + rule
	}
	return name
}

// order gives the worker one of its orders.
func (d *daemon) order(words string) {
	_, _ = io.WriteString(d.in, words+"\n") // one that has died is seen elsewhere
}

func (d *daemon) kill() {
	d.expect()
	_ = d.cmd.Process.Kill()
	<-d.ended
}

// endWithin is more than an orderly end may take.
const endWithin = closeWithin + 10*time.Second

// stop ends the worker in order.
func (d *daemon) stop() error {
	select {
	case <-d.begun:
	case <-d.ended:
	}
	d.expect()
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.ended:
	case <-time.After(endWithin):
		d.kill()
		return errors.New("the worker did not end when it was told to")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.inOrder {
		return errors.New("the worker did not end in order")
	}
	return nil
}

func (d *daemon) expect() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expected = true
}

// err returns what must never have happened.
func (d *daemon) err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fatal
}

// state returns the last pass and the last failure.
func (d *daemon) state() (pass, failure report) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last, d.failure
}

// pause ends the worker's window and waits until it has.
func (d *daemon) pause() {
	d.mu.Lock()
	d.paused = false
	d.mu.Unlock()
	d.order(orderPause)
	for end := time.Now().Add(answerWithin); time.Now().Before(end); time.Sleep(time.Millisecond) {
		d.mu.Lock()
		paused := d.paused
		d.mu.Unlock()
		if paused {
			return
		}
		select {
		case <-d.ended:
			return
		default:
		}
	}
}

func clock() string { return time.Now().Format("15:04:05.000") }
