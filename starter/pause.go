package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast/workflows/control"
)

func (a *app) pause() *cobra.Command {
	var reason string
	var m many
	c := &cobra.Command{
		Use:   "pause NAME... | --all | --host HOST | --query QUERY",
		Short: "Stop replicating until resumed",
		Long: `Stop replicating until resumed.

It returns when nothing is being written any more. Where no worker answers it sends a signal instead, which holds
as soon as one runs.

` + aboutMany,
		Args: m.arguments,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.tellMany(c.Context(), "pause", func(f fleet) (control.Batch, error) {
					return f.PauseMany(c.Context(), m.selection, reason)
				})
			}
			return a.tell(c.Context(), args, "paused", func(f fleet, name string) (control.Told, error) {
				return f.Pause(c.Context(), name, reason)
			})
		},
	}
	m.flags(c)
	c.Flags().StringVar(&reason, "reason", "", "shown by status, for whoever wonders")
	return c
}

// told is one line of the answer of pause and resume as JSON has it.
type told struct {
	Name    string `json:"name"`
	Phase   string `json:"phase"`
	Pending bool   `json:"pending"` // nobody answered: it holds when a worker runs
}

// tell does one thing to several databases, and stops at the first that fails.
func (a *app) tell(ctx context.Context, names []string, done string, do func(fleet, string) (control.Told, error)) error {
	return a.ask(ctx, func(f fleet) error {
		answers := []told{}
		var failure error
		for _, name := range names {
			res, err := do(f, name)
			if failure = err; err != nil {
				break
			}
			answers = append(answers, told{name, string(res.Status.Phase), res.Pending})
		}
		if len(answers) > 0 {
			if err := a.emit(answers, func(w io.Writer) { printTold(w, answers, done) }); err != nil {
				return err
			}
		}
		return failure
	})
}

func printTold(w io.Writer, answers []told, done string) {
	for _, t := range answers {
		if t.Pending {
			fmt.Fprintf(w, "%s: signal sent; no worker answers, so it will be %s when holdfast-worker runs\n", t.Name, done)
			continue
		}
		fmt.Fprintf(w, "%s: %s, now %s\n", t.Name, done, t.Phase)
	}
}
