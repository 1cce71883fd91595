package main

import (
	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast/workflows/control"
)

func (a *app) resume() *cobra.Command {
	return &cobra.Command{
		Use:   "resume NAME...",
		Short: "Go on replicating now",
		Long: `Go on replicating now: after a pause, in the middle of a backoff, or when what needed a person has been put
right.`,
		Args: arguments("NAME", 1, -1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.tell(c.Context(), args, "resumed", func(f fleet, name string) (control.Told, error) {
				return f.Resume(c.Context(), name)
			})
		},
	}
}
