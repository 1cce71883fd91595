package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) setup() *cobra.Command {
	return &cobra.Command{
		Use:   "setup",
		Short: "Create the search attributes in Temporal",
		Long: `Create, in the Temporal namespace, the search attributes by which databases can be found. Once is enough.
Databases that are registered already get theirs when they are stopped and registered again.`,
		Args: arguments("no arguments", 0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), func(f fleet) error {
				created, err := f.Setup(c.Context())
				if err != nil {
					return err
				}
				if created == nil {
					created = []string{}
				}
				return a.emit(map[string][]string{"created": created}, func(w io.Writer) {
					if len(created) == 0 {
						fmt.Fprintln(w, "all search attributes were there already")
						return
					}
					fmt.Fprintln(w, "created search attributes", strings.Join(created, ", "))
				})
			})
		},
	}
}
