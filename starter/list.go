package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// listed is a line of the list as JSON has it.
type listed struct {
	Name    string `json:"name"`
	Host    string `json:"host"`
	Path    string `json:"path"`
	Replica string `json:"replica"`
	Phase   string `json:"phase"` // empty where the namespace has no search attributes
}

func (a *app) list() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List all registered databases",
		Long: `List all registered databases.

The list comes from Temporal alone and can be some seconds old; status asks the database's workflow. Phases need
the search attributes that setup creates.`,
		Args: arguments("no arguments", 0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), func(f fleet) error {
				entries, err := f.List(c.Context())
				if err != nil {
					return err
				}
				all := make([]listed, len(entries))
				for i, e := range entries {
					all[i] = listed{e.Name, e.Host, e.Path, e.Replica, string(e.Phase)}
				}
				return a.emit(all, func(w io.Writer) { printList(w, all) })
			})
		},
	}
}

func printList(w io.Writer, all []listed) {
	if len(all) == 0 {
		fmt.Fprintln(w, "no database is registered; holdfast register PATH registers one")
		return
	}
	rows := make([][]string, len(all))
	for i, l := range all {
		rows[i] = []string{l.Name, orDash(l.Phase), orDash(l.Host), orDash(l.Path), orDash(l.Replica)}
	}
	table(w, []string{"NAME", "PHASE", "HOST", "PATH", "REPLICA"}, rows)
}
