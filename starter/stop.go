package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// stopped is the answer of stop as JSON has it.
type stopped struct {
	Name     string `json:"name"`
	Replica  string `json:"replica"` // which stays
	TXID     string `json:"txid"`
	Released bool   `json:"released"` // its host has closed the database; else it does when its worker ends
}

func (a *app) stop() *cobra.Command {
	var skip bool
	c := &cobra.Command{
		Use:   "stop NAME",
		Short: "End the replication of a database",
		Long: `End the replication of a database: make a final pass, close it on its host, and forget it.

The replica stays as it is. A worker whose configuration lists the database registers it again when it starts.`,
		Args: arguments("NAME", 1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.ask(c.Context(), func(f fleet) error {
				res, err := f.Stop(c.Context(), args[0], skip)
				if err != nil {
					return err
				}
				s := stopped{args[0], res.Status.Replica, res.Status.TXID.String(), res.Released}
				return a.emit(s, func(w io.Writer) { printStopped(w, s) })
			})
		},
	}
	c.Flags().BoolVar(&skip, "no-final-pass", false, "end also if the replica would lack the latest transactions")
	return c
}

func printStopped(w io.Writer, s stopped) {
	fmt.Fprintf(w, "%s is not replicated any more; its replica holds txid %s and stays at %s\n", s.Name, s.TXID, s.Replica)
	if !s.Released {
		fmt.Fprintf(w, "its host did not answer: it closes the database when its worker ends\n")
	}
}
