package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/restore"
)

// followed is an event of restore --follow as JSON has it, one in a line.
type followed struct {
	Event   restore.EventKind `json:"event"`
	TXID    string            `json:"txid"` // of the copy
	Created *time.Time        `json:"created"`
	Pages   int               `json:"pages,omitempty"` // that were written
	Objects int               `json:"objects,omitempty"`
	Fetched int64             `json:"fetched_bytes,omitempty"`
	Took    float64           `json:"took_seconds,omitempty"`
	Error   string            `json:"error,omitempty"`
	Wait    float64           `json:"wait_seconds,omitempty"` // until the next try
}

// checkFollow refuses what makes no sense beside --follow.
func (r restoring) checkFollow(c *cobra.Command) error {
	if !r.follow {
		if c.Flags().Changed("interval") {
			return usage(c, "--interval is for --follow")
		}
		return nil
	}
	for _, other := range []string{"txid", "at", "dry-run", "if-absent"} {
		if err := either(c, "follow", other); err != nil {
			return err
		}
	}
	if r.interval <= 0 {
		return usageHint(c, fmt.Sprintf("--interval: got %v", r.interval), "write a time such as 1s")
	}
	return nil
}

// keepUp keeps the output up to date until it is interrupted.
func (a *app) keepUp(ctx context.Context, source *replica.Replica, url string, r restoring, opts restore.Options) error {
	last := ""
	err := restore.Follow(ctx, source, restore.FollowOptions{
		Options: opts, Source: url, Interval: r.interval,
		Tell: func(e restore.Event) {
			last = e.TXID.String()
			a.tellEvent(opts.Output, e)
		},
	})
	if ctx.Err() == nil {
		return err
	}
	text := fmt.Sprintf("interrupted; %s is at txid %s, from where the same command goes on", opts.Output, last)
	if last == "" {
		text = "interrupted; there is no copy yet"
	}
	return &fault{statusInterrupted, typeInterrupted, errors.New(text)}
}

// tellEvent prints what happened to the copy.
func (a *app) tellEvent(output string, e restore.Event) {
	v := followed{
		Event: e.Kind, TXID: e.TXID.String(), Created: instant(e.Created), Pages: e.Pages, Objects: e.Objects,
		Fetched: e.Fetched, Took: e.Took.Seconds(), Wait: e.Wait.Seconds(),
	}
	if e.Err != nil {
		v.Error = e.Err.Error()
	}
	if a.asJSON() {
		_ = json.NewEncoder(a.stdout).Encode(v) // who does not read it may still want the copy
		return
	}
	at := fmt.Sprintf("txid %s of %s", v.TXID, stamp(e.Created))
	switch e.Kind {
	case restore.Restored:
		fmt.Fprintf(a.stdout, "restored %s: %s, %d pages from %d objects in %.1f s\n", output, at, e.Pages, e.Objects, v.Took)
	case restore.Resumed:
		fmt.Fprintf(a.stdout, "going on with %s: %s\n", output, at)
	case restore.Applied:
		fmt.Fprintf(a.stdout, "%s: %d pages from %d objects in %.2f s\n", at, e.Pages, e.Objects, v.Took)
	case restore.Anew:
		fmt.Fprintf(a.stdout, "%s: all pages are read again: %v\n", at, e.Err)
	case restore.Waiting:
		fmt.Fprintf(a.stdout, "%s: %v; trying again in %v\n", at, e.Err, e.Wait)
	}
}
