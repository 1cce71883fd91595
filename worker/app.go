package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast/internal/config"
	"github.com/holdfast-db/holdfast/internal/telemetry"
)

// Exit statuses.
const (
	statusDone        = 0
	statusFailed      = 1
	statusUsage       = 2
	statusInterrupted = 130
)

// world is all that the worker touches beside its arguments.
type world struct {
	environ   []string
	stdout    io.Writer
	stderr    io.Writer // the log, and the one line of a failed start
	hostname  func() (string, error)
	contained func() bool // whether the host name is one that a container made up
	search    []string    // files that may hold the configuration
	uid       int
	patience  time.Duration // with a service that does not answer at the start
}

func system() world {
	return world{
		environ:   os.Environ(),
		stdout:    os.Stdout,
		stderr:    os.Stderr,
		hostname:  os.Hostname,
		contained: func() bool { return config.Contained("/", os.LookupEnv) },
		search:    config.DefaultFiles,
		uid:       os.Getuid(),
		patience:  5 * time.Second,
	}
}

// usageError is an error that the user's words or settings caused.
type usageError struct{ error }

// Unwrap returns the cause.
func (e usageError) Unwrap() error { return e.error }

// run runs the worker until ctx ends and returns its exit status.
func run(ctx context.Context, w world, args []string) int {
	var secrets []string
	var file string
	c := &cobra.Command{
		Use:           "holdfast-worker",
		Short:         "Replicate the databases of this host",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unexpected argument %q; list databases in the configuration file", args[0])}
			}
			return nil
		},
	}
	c.Flags().StringVar(&file, "config", "", "configuration file (default: holdfast.yml, /etc/holdfast/holdfast.yml)")
	config.AddFlags(c.Flags())
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see holdfast-worker --help", err)}
	})
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := settle(w, config.Source{File: file, Search: w.search, Environ: w.environ, Flags: c.Flags()})
		if err != nil {
			return usageError{err}
		}
		secrets = s.secrets
		return serve(c.Context(), w, s)
	}
	c.SetArgs(args)
	c.SetOut(w.stdout)
	c.SetErr(w.stderr)
	err := c.ExecuteContext(ctx)
	return report(ctx, w.stderr, secrets, err)
}

// report prints the one line of a failure and returns the exit status.
func report(ctx context.Context, stderr io.Writer, secrets []string, err error) int {
	var usage usageError
	switch {
	case err == nil && errors.Is(context.Cause(ctx), errInterrupted):
		return statusInterrupted
	case err == nil:
		return statusDone
	case ctx.Err() != nil && errors.Is(context.Cause(ctx), errTerminated) && errors.Is(err, ctx.Err()):
		return statusDone
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return statusInterrupted
	}
	line := strings.Join(strings.Fields(err.Error()), " ")
	fmt.Fprintln(telemetry.MaskWriter(stderr, secrets), "holdfast-worker: "+line)
	if errors.As(err, &usage) {
		return statusUsage
	}
	return statusFailed
}
