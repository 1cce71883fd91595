package main

import (
	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast/workflows/control"
)

func (a *app) resume() *cobra.Command {
	var m many
	c := &cobra.Command{
		Use:   "resume NAME... | --all | --host HOST | --query QUERY",
		Short: "Go on replicating now",
		Long: `Go on replicating now: after a pause, in the middle of a backoff, or when what needed a person has been put
right.

` + aboutMany,
		Args: m.arguments,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.tellMany(c.Context(), "resume", func(f fleet) (control.Batch, error) {
					return f.ResumeMany(c.Context(), m.selection)
				})
			}
			return a.tell(c.Context(), args, "resumed", func(f fleet, name string) (control.Told, error) {
				return f.Resume(c.Context(), name)
			})
		},
	}
	m.flags(c)
	return c
}
