package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast/internal/config"
	"github.com/holdfast-db/holdfast/workflows/control"
)

// many are the flags that choose databases otherwise than by name.
type many struct {
	all       bool
	selection control.Selection
}

const aboutMany = `With --all, --host or --query it sends a signal to each database that matches, by one batch in Temporal, and returns
when all are sent, not when each has followed: holdfast list shows that. Temporal sends some 50 a second, and one
batch at a time. Ctrl-C ends the waiting, not the batch. It reaches the databases that Temporal lists, which one
registered a second ago may not be. That none matches is no failure: it says none, and the exit status is 0.

A query is one that temporal workflow list takes, such as "HoldfastPhase = 'DiskFull'", and reaches databases only.
--host and such queries need the search attributes that setup creates.`

func (m *many) flags(c *cobra.Command) {
	c.Flags().BoolVar(&m.all, "all", false, "all registered databases")
	c.Flags().StringVar(&m.selection.Host, "host", "", "all databases of that host")
	c.Flags().StringVar(&m.selection.Query, "query", "", "all databases that meet that query of Temporal's list")
}

// arguments wants either names or one of the flags.
func (m *many) arguments(c *cobra.Command, args []string) error {
	var given []string
	for _, flag := range []string{"all", "host", "query"} {
		if c.Flags().Changed(flag) && (flag != "all" || m.all) {
			given = append(given, "--"+flag)
		}
	}
	if len(args) > 0 {
		given = append(given, "NAME")
	}
	switch {
	case len(given) == 0:
		return usageHint(c, "NAME is missing", "name databases, or say --all, --host or --query")
	case len(given) > 1:
		return usageHint(c, strings.Join(given, " and ")+" exclude each other", "give one of them")
	case given[0] == "--host":
		if err := config.CheckHost(m.selection.Host); err != nil {
			return usageOf(c, err)
		}
	case given[0] == "--query" && strings.TrimSpace(m.selection.Query) == "":
		return usageHint(c, "--query is empty", "say --all for all databases")
	}
	return nil
}

// batched is the answer to a signal to many as JSON has it.
type batched struct {
	Batch     string `json:"batch"` // its id in Temporal; empty if nothing matched
	Matched   int64  `json:"matched"`
	Signalled int64  `json:"signalled"`
	Failed    int64  `json:"failed"`
}

// tellMany has a signal sent to many databases, and waits until it is.
func (a *app) tellMany(ctx context.Context, signal string, do func(fleet) (control.Batch, error)) error {
	return a.with(ctx, func(f fleet) error {
		b, err := do(f)
		if err != nil && ctx.Err() != nil && b.ID != "" {
			return &fault{statusInterrupted, typeInterrupted, fmt.Errorf("interrupted, but the batch goes on in Temporal; see temporal batch describe --job-id %s", b.ID)}
		}
		if err != nil {
			return err
		}
		err = a.emit(batched{b.ID, b.Matched, b.Signalled, b.Failed}, func(w io.Writer) { printBatch(w, b, signal) })
		if err == nil && b.Failed > 0 {
			err = fmt.Errorf("%d databases could not be signalled; %s them again, which changes nothing for the others", b.Failed, signal)
		}
		return err
	})
}

func printBatch(w io.Writer, b control.Batch, signal string) {
	if b.Matched == 0 {
		fmt.Fprintln(w, "none: no registered database matches; holdfast list shows what there is")
		return
	}
	fmt.Fprintf(w, "signal %s sent to %d databases, failed for %d; holdfast list shows how they are\n", signal, b.Signalled, b.Failed)
}
