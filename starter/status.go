package main

import (
	"github.com/spf13/cobra"
)

func (a *app) status() *cobra.Command {
	return &cobra.Command{
		Use:   "status NAME",
		Short: "Show how a database stands",
		Long: `Show how a database stands.

It works where no worker answers too, and says so: then it shows what Temporal has on record. The lag is the time
since database and replica were last known to be equal.`,
		Args: arguments("NAME", 1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c.Context(), func(f fleet) error {
				s, err := f.Status(c.Context(), args[0])
				if err != nil {
					return err
				}
				v := see(s, a.now())
				return a.emit(v, v.text)
			})
		},
	}
}
