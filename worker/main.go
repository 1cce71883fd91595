// Command holdfast-worker replicates the databases of one host.
//
// It runs what the workflows decide: windows on one task queue, short orders on
// another, so that a pause never waits for a window, restores on a third, and
// workflows themselves on one that all hosts share. It registers the databases that its
// configuration lists.
//
// SIGTERM and SIGINT end it in order: windows finish their put and count as no
// failure. A second signal ends it at once. Exit status: 0 ended in order; 1
// failed; 2 wrong usage or configuration; 130 interrupted from a terminal.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// errInterrupted and errTerminated are the causes of the context's end.
var (
	errInterrupted = errors.New("interrupted")
	errTerminated  = errors.New("terminated")
)

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		if <-signals == os.Interrupt {
			cancel(errInterrupted)
		} else {
			cancel(errTerminated)
		}
		<-signals
		os.Exit(statusInterrupted)
	}()
	os.Exit(run(ctx, system(), os.Args[1:]))
}
