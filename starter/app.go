package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast/internal/config"
	"github.com/holdfast-db/holdfast/internal/telemetry"
)

// world is all that a command touches beside its arguments.
type world struct {
	environ        []string
	stdout, stderr io.Writer
	terminal       bool // stderr is one
	hostname       func() (string, error)
	contained      func() bool // whether the host name is one that a container made up
	now            func() time.Time
	search         []string // files that may hold the configuration
	dial           func(ctx context.Context, environ []string) (fleet, func(), error)
}

func system() world {
	return world{
		environ:   os.Environ(),
		stdout:    os.Stdout,
		stderr:    os.Stderr,
		terminal:  isTerminal(os.Stderr),
		hostname:  os.Hostname,
		contained: func() bool { return config.Contained("/", os.LookupEnv) },
		now:       time.Now,
		search:    config.DefaultFiles,
		dial:      dial,
	}
}

// app is one invocation.
type app struct {
	world
	output string // text or json
	json   bool   // the same, by a flag that restore has too
}

// run runs one invocation and returns its exit status.
func run(ctx context.Context, w world, args []string) int {
	a := &app{world: w, output: "text"}
	a.hide(secretsIn(w.environ))
	root := a.root()
	root.SetArgs(args)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return statusDone
	}
	return a.report(ctx, command, args, err)
}

// root is the command that all others hang on.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "holdfast",
		Short:         "Keep SQLite databases in a blob store, and bring them back",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          unknownCommand,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	// restore has an --output of its own: the file.
	root.PersistentFlags().VarP(choice{&a.output, "format", []string{"text", "json"}}, "output", "o", "text or json")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print JSON; the same as --output json")
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(
		a.register(), a.reconfigure(), a.list(), a.status(), a.pause(), a.resume(), a.sync(), a.stop(), a.points(), a.restore(), a.maintain(), a.verify(), a.setup(), a.version(),
	)
	return root
}

func unknownCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	root.SuggestionsMinimumDistance = 2
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		return usageHint(root, fmt.Sprintf("unknown command %q", args[0]), fmt.Sprintf("did you mean %s?", near[0]))
	}
	return usage(root, "unknown command %q", args[0])
}

// asJSON tells whether answers and errors are for machines.
func (a *app) asJSON() bool { return a.json || a.output == "json" }

// arguments checks how many there are; want is how the usage calls them, and a
// negative most any number.
func arguments(want string, least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < least {
			return usage(c, "%s is missing", want)
		}
		if most >= 0 && len(args) > most {
			return usage(c, "unexpected argument %q", args[most])
		}
		return nil
	}
}

// either refuses two flags that contradict each other.
func either(c *cobra.Command, one, other string) error {
	if c.Flags().Changed(one) && c.Flags().Changed(other) {
		return usage(c, "--%s and --%s exclude each other", one, other)
	}
	return nil
}

// choice is a flag with a fixed set of values.
type choice struct {
	value *string
	kind  string // what the values are
	among []string
}

// String returns the value.
func (c choice) String() string {
	if c.value == nil {
		return ""
	}
	return *c.value
}

// Set accepts one of the values.
func (c choice) Set(s string) error {
	for _, a := range c.among {
		if a == s {
			*c.value = s
			return nil
		}
	}
	return fmt.Errorf("no such %s; write %s", c.Type(), strings.Join(c.among, " or "))
}

// Type names the value in the help.
func (c choice) Type() string { return c.kind }

// hide keeps secrets out of everything that is printed from now on.
func (a *app) hide(secrets []string) {
	a.stdout = telemetry.MaskWriter(a.stdout, secrets)
	a.stderr = telemetry.MaskWriter(a.stderr, secrets)
}

// secretsIn are the values in environ that no output may hold.
func secretsIn(environ []string) []string {
	c, err := config.Azure{}.Credentials(lookup(environ))
	if err != nil {
		return nil
	}
	key, _ := lookup(environ)("TEMPORAL_API_KEY")
	return append(config.Secrets(c), key)
}
