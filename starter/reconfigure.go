package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast/internal/config"
	"github.com/holdfast-db/holdfast/workflows/control"
)

// durations are the settings of a database that are one: its flag, its name in JSON, and
// what it is.
var durations = []struct{ flag, name, what string }{
	{"interval", "interval", "time between two passes; 0 for no pause"},
	{"window", "window", "length of one Sync activity; 0 for one pass each"},
	{"heartbeat", "heartbeat", "after which a silent window counts as dead"},
	{"backoff-cap", "backoff_cap", "longest wait between two attempts"},
	{"scrub", "scrub", "in which all pages are compared with what was shipped"},
	{"idle-after", "idle_after", "without a commit, after which the database rests; -1s for never"},
	{"cold-after", "cold_after", "without a commit, after which it is closed while it rests; -1s for never"},
	{"autonomy", "autonomy", "for which its host goes on while Temporal is away; -1s for not at all"},
	{"retention", "retention_window", "states of this age can be restored"},
	{"level0", "retention_level0", "for which each put stays a state of its own"},
}

func (a *app) reconfigure() *cobra.Command {
	var limit string
	c := &cobra.Command{
		Use:   "reconfigure NAME",
		Short: "Change some settings of a database",
		Long: `Change some settings of a database. Those that no flag names stay as they are. 0 is none for --interval and --window,
and the default for any other.

They hold when it returns, which takes as long as the put that is under way. A database that waits for a person goes
on to wait. One that its worker's configuration lists, or finds, gets the settings from there again when that worker
starts, so change them there as well.`,
		Example: "  holdfast reconfigure shop --interval 5s --retention 720h",
		Args:    arguments("NAME", 1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			settings, err := changes(c, limit)
			if err != nil {
				return err
			}
			return a.ask(c.Context(), func(f fleet) error {
				res, err := f.Reconfigure(c.Context(), args[0], settings)
				if err != nil {
					return err
				}
				answer := struct {
					view
					Changed bool `json:"changed"`
				}{see(control.Status{Status: res.Status, Answering: true}, a.now()), res.Changed}
				return a.emit(answer, func(w io.Writer) {
					said := "nothing has changed"
					if res.Changed {
						said = "changed"
					}
					fmt.Fprintf(w, "%s: %s\n", args[0], said)
					answer.text(w)
				})
			})
		},
	}
	for _, d := range durations {
		c.Flags().Duration(d.flag, 0, d.what)
	}
	c.Flags().StringVar(&limit, "wal-limit", "", "bytes of log before a pass that cannot ship spools, like 64MiB")
	return c
}

// changes are the settings that flags name, as JSON.
func changes(c *cobra.Command, limit string) (json.RawMessage, error) {
	named := map[string]any{}
	for _, d := range durations {
		if !c.Flags().Changed(d.flag) {
			continue
		}
		value, err := c.Flags().GetDuration(d.flag)
		if err != nil {
			return nil, err
		}
		named[d.name] = value.String()
	}
	if c.Flags().Changed("wal-limit") {
		size, err := config.ParseSize(limit)
		if err != nil {
			return nil, usage(c, "--wal-limit: %v", err)
		}
		named["wal_limit_bytes"] = int64(size)
	}
	if len(named) == 0 {
		return nil, usageHint(c, "no setting is named", "name at least one, such as --interval")
	}
	return json.Marshal(named)
}
