// Command holdfast-dev runs the development stack: Temporal with its Web UI,
// and Azurite, both on the loopback interface.
//
//	holdfast-dev up   [flags]                 until Ctrl-C
//	holdfast-dev run  [flags] -- COMMAND ...  for as long as COMMAND runs
//
// It prints where everything is once all of it is ready, and leaves no
// process behind, also when it is killed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/holdfast-db/holdfast/dev/stack"
)

const usage = `usage:
  holdfast-dev up  [flags]                  run the stack until Ctrl-C
  holdfast-dev run [flags] -- COMMAND ...   run it for as long as COMMAND runs, which finds
                                            the endpoints as JSON in HOLDFAST_TEST_STACK

flags:
`

// Exit statuses.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

func main() {
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fail(exitUsage, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if o.command != nil {
		code, err := run(ctx, o)
		if err != nil {
			fail(exitFailed, err)
		}
		os.Exit(code)
	}
	if err := up(ctx, o); err != nil {
		fail(exitFailed, err)
	}
}

func fail(code int, err error) {
	fmt.Fprintf(os.Stderr, "holdfast-dev: %v\n", err)
	os.Exit(code)
}

// options are what the command line says.
type options struct {
	stack   stack.Options
	json    bool
	stdin   bool     // end when standard input closes
	command []string // of run
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("holdfast-dev", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.stack.Dir, "dir", "", "keep the state of both servers in `directory`; default: a temporary one")
	flags.StringVar(&o.stack.Only, "only", "", "start only this `part`: temporal or azurite")
	flags.BoolVar(&o.json, "json", false, "print the endpoints as one line of JSON")
	flags.BoolVar(&o.stdin, "until-stdin-closes", false, "end also when standard input ends")
	portFlag(flags, &o.stack.Temporal, "temporal-port", 7233)
	portFlag(flags, &o.stack.UI, "ui-port", 8233)
	portFlag(flags, &o.stack.Blob, "blob-port", 10000)

	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		printUsage(flags)
		return o, flag.ErrHelp
	}
	if err := flags.Parse(args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			printUsage(flags)
		}
		return o, err
	}
	o.stack.Install, o.stack.Notify = installDir(), notify
	return o, o.verb(args[0], flags.Args())
}

// verb takes what stands beside the flags.
func (o *options) verb(verb string, rest []string) error {
	switch {
	case verb == "up" && len(rest) == 0:
		return nil
	case verb == "run" && len(rest) > 0:
		o.command = rest
		return nil
	case verb == "run":
		return errors.New("run: name a command, as in: holdfast-dev run -- COMMAND")
	case verb == "up":
		return fmt.Errorf("up: unexpected %q; see holdfast-dev help", rest[0])
	}
	return fmt.Errorf("unknown command %q; see holdfast-dev help", verb)
}

// portFlag defines a flag whose default gives way when it is taken.
func portFlag(flags *flag.FlagSet, p *stack.Port, name string, usual int) {
	*p = stack.Port{Number: usual, Usual: true}
	text := fmt.Sprintf("listen on port `N`; 0: any free one (default %d, any free one when that is taken)", usual)
	flags.Func(name, text, func(s string) error {
		var n int
		if _, err := fmt.Sscanf(s, "%d", &n); err != nil || n < 0 || n > 65535 {
			return errors.New("want a number from 0 to 65535")
		}
		*p = stack.Port{Number: n}
		return nil
	})
}

func printUsage(flags *flag.FlagSet) {
	fmt.Print(usage)
	flags.SetOutput(os.Stdout)
	flags.PrintDefaults()
}

// installDir is beside the program: .build/ in a work tree.
func installDir() string {
	self, err := os.Executable()
	if err != nil {
		return os.TempDir()
	}
	return filepath.Dir(self)
}

func notify(line string) { fmt.Fprintf(os.Stderr, "holdfast-dev: %s\n", line) }
