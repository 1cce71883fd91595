package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
)

// synced is the answer of sync as JSON has it.
type synced struct {
	Name     string     `json:"name"`
	TXID     string     `json:"txid"` // everything up to it is durable in the store
	SyncedAt *time.Time `json:"synced_at"`
	Objects  int        `json:"objects"`
	Shipped  int64      `json:"shipped_bytes"`
}

func (a *app) sync() *cobra.Command {
	return &cobra.Command{
		Use:   "sync NAME",
		Short: "Make a pass now, and wait for it",
		Long:  "Make a pass now, and return when everything that was committed before is durable in the store.",
		Args:  arguments("NAME", 1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.ask(c.Context(), func(f fleet) error {
				res, err := f.Sync(c.Context(), args[0])
				if err != nil {
					return err
				}
				s := synced{args[0], res.TXID.String(), instant(res.SyncedAt), res.Puts, res.Bytes}
				return a.emit(s, func(w io.Writer) {
					fmt.Fprintf(w, "%s: durable up to txid %s; %d objects, %s written\n", s.Name, s.TXID, s.Objects, mebibytes(s.Shipped))
				})
			})
		},
	}
}
