package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/holdfast-db/holdfast/dev/stack"
)

// endpointsVariable is where run's command finds the endpoints as JSON.
const endpointsVariable = "HOLDFAST_TEST_STACK"

// up runs the stack until ctx is done, a part of it fails or, when asked to,
// standard input ends.
func up(ctx context.Context, o options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if o.stdin {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			cancel()
		}()
	}
	s, err := stack.Start(ctx, o.stack)
	if err != nil {
		return interrupted(ctx, err)
	}
	defer s.Stop()
	announce(s.Endpoints(), o.json)
	return s.Wait(ctx)
}

// interrupted drops an error that is only the echo of a wish to end.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func announce(e stack.Endpoints, json bool) {
	if json {
		fmt.Println(e.JSON())
		return
	}
	fmt.Printf("the development stack is ready; Ctrl-C ends it\n\n%s\n", e.Text())
}

// run runs the command beside a stack and returns its exit status. Ctrl-C
// reaches the command by itself, being in the same process group, and the
// stack stays until the command has dealt with it.
func run(ctx context.Context, o options) (int, error) {
	s, err := stack.Start(ctx, o.stack)
	if err != nil {
		return exitInterrupted, interrupted(ctx, err)
	}
	defer s.Stop()
	watch, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		if err := s.Wait(watch); err != nil {
			notify(err.Error())
		}
	}()
	return command(s.Endpoints(), o.command)
}

func command(e stack.Endpoints, args []string) (int, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), endpointsVariable+"="+e.JSON())
	if err := cmd.Start(); err != nil {
		return exitFailed, err
	}
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)
	defer signal.Stop(terminate)
	go func() {
		for range terminate {
			_ = cmd.Process.Signal(syscall.SIGTERM)
		}
	}()
	return status(cmd.Wait())
}

func status(err error) (int, error) {
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		if exit.ExitCode() < 0 {
			return exitFailed, fmt.Errorf("the command ended: %w", err)
		}
		return exit.ExitCode(), nil
	}
	return 0, err
}
