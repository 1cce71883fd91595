// Command holdfast registers, watches and restores databases.
//
// It decodes what a person types, asks package control or package restore, and
// prints the answer. One file holds one command. Nothing but restore reads the
// store, and restore needs neither Temporal nor a worker when it is given a URL.
//
// Exit status: 0 done; 1 failed or refused; 2 wrong usage or configuration; 130
// interrupted. Errors are one line on stderr, or one JSON object.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends at once
	os.Exit(run(ctx, system(), os.Args[1:]))
}
