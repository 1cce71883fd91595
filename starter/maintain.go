package main

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast/internal/config"
	"github.com/holdfast-db/holdfast/internal/maintain"
	"github.com/holdfast-db/holdfast/internal/plan"
)

// maintaining is what the flags of maintain say.
type maintaining struct {
	retaining
	config string
	dryRun bool
	keep   bool
}

// maintainAnswer is the answer of maintain as JSON has it.
type maintainAnswer struct {
	Replica      string     `json:"replica"`
	DryRun       bool       `json:"dry_run,omitempty"`
	Objects      int        `json:"objects"` // before
	Bytes        int64      `json:"bytes"`
	Merged       int        `json:"merged"`
	ReadBytes    int64      `json:"read_bytes"`
	WrittenBytes int64      `json:"written_bytes"`
	Expired      int        `json:"expired"`
	ExpiredBytes int64      `json:"expired_bytes"`
	Kept         bool       `json:"kept,omitempty"` // what has expired was not removed
	Left         int        `json:"left,omitempty"` // expired, and still there
	LeftBytes    int64      `json:"left_bytes,omitempty"`
	LeftBecause  string     `json:"left_because,omitempty"`
	Window       float64    `json:"window_seconds"`
	Oldest       *time.Time `json:"oldest,omitempty"`
}

func (a *app) maintain() *cobra.Command {
	var m maintaining
	c := &cobra.Command{
		Use:   "maintain URL|NAME",
		Short: "Merge a database's objects, and remove those that have expired",
		Long: `Merge the objects of a database's replica into fewer and larger ones, so that a restore reads less, and remove those
that no state inside the window needs. The state after each put stays restorable for a while; of older ones, as many are
kept of each age. It may run anywhere, at any time, next to a worker and to itself, and can be interrupted. What takes the
place of others is read back before they are removed, by the next run after the one that has made it.`,
		Example: `  holdfast maintain shop --dry-run
  holdfast maintain abs://account@backups/prod/shop --window 720h`,
		Args: arguments("URL or NAME", 1, 1),
		RunE: func(c *cobra.Command, args []string) error { return a.doMaintain(c, m, args[0]) },
	}
	m.retaining.flags(c)
	c.Flags().BoolVar(&m.dryRun, "dry-run", false, "only say what would be done")
	c.Flags().BoolVar(&m.keep, "keep", false, "remove nothing: merge, and say what has expired (default: retention.store)")
	c.Flags().StringVar(&m.config, "config", "", "configuration file, for retention, janitor and azure settings (default: holdfast.yml, /etc/holdfast/holdfast.yml)")
	return c
}

// retaining is what flags say of how long states are kept, where they say anything.
type retaining struct{ window, level0 time.Duration }

func (r *retaining) flags(c *cobra.Command) {
	c.Flags().DurationVar(&r.window, "window", 0, "how far back states can be restored (default: retention.window)")
	c.Flags().DurationVar(&r.level0, "level0", 0, "for how long each put stays a state of its own, 1h at least (default: retention.level0)")
}

// policy is what the flags say, and otherwise the settings.
func (r *retaining) policy(c *cobra.Command, settings config.Retention) (plan.Policy, error) {
	p := settings.Policy()
	if c.Flags().Changed("window") {
		p.Window = r.window
	}
	if c.Flags().Changed("level0") {
		p.Level0 = r.level0
	}
	if p.Level0 < plan.LeastLevel0 {
		return p, misconfigured(fmt.Errorf("--level0 is %v, want %v at least: a worker that was away must find its newest objects", p.Level0, plan.LeastLevel0))
	}
	if p.Window < p.Level0 {
		return p, misconfigured(fmt.Errorf("--window is %v, want %v at least, as --level0 says", p.Window, p.Level0))
	}
	return p, nil
}

func (a *app) doMaintain(c *cobra.Command, m maintaining, from string) error {
	ctx := c.Context()
	settings, err := a.settings(m.config)
	if err != nil {
		return err
	}
	policy, err := m.policy(c, settings.Retention)
	if err != nil {
		return err
	}
	keep := settings.Retention.Store
	if c.Flags().Changed("keep") {
		keep = m.keep
	}
	url, err := a.locate(ctx, from)
	if err != nil {
		return err
	}
	source, err := a.open(ctx, settings.JanitorCredentials, url)
	if err != nil {
		return err
	}
	done, err := maintain.Run(ctx, maintain.Options{Replica: source, URL: url, Policy: policy, DryRun: m.dryRun, Keep: keep, Log: slog.New(slog.DiscardHandler), Now: a.now})
	if err != nil {
		return err
	}
	if done.Objects == 0 {
		return noReplica(url)
	}
	v := maintainAnswer{
		Replica: url, DryRun: m.dryRun, Objects: done.Objects, Bytes: done.Bytes, Merged: len(done.Merged), ReadBytes: done.Read, WrittenBytes: done.Written,
		Expired: len(done.Expired), ExpiredBytes: done.ExpiredBytes, Kept: keep, Window: policy.Window.Seconds(),
		Left: len(done.Left), LeftBytes: done.LeftBytes, LeftBecause: done.LeftWhy,
	}
	if !done.Oldest.IsZero() {
		v.Oldest = instant(done.Oldest)
	}
	return a.emit(v, v.print)
}

func (v maintainAnswer) print(w io.Writer) {
	would := ""
	if v.DryRun {
		would = "would have "
	}
	if v.Merged == 0 {
		fmt.Fprintf(w, "%smerged nothing: no %d neighbours of one level wait among the %d objects\n", would, plan.FanIn, v.Objects)
	} else {
		fmt.Fprintf(w, "%smade %d objects of others: %s read, %s written\n", would, v.Merged, mebibytes(v.ReadBytes), mebibytes(v.WrittenBytes))
	}
	window := time.Duration(v.Window * float64(time.Second))
	switch {
	case v.Expired == 0 && v.Left > 0: // which is said below
	case v.Expired == 0:
		fmt.Fprintf(w, "%sremoved nothing: each of the %d objects, %s, is needed for a state of the last %v\n", would, v.Objects, mebibytes(v.Bytes), window)
	case v.Kept:
		fmt.Fprintf(w, "kept %d objects, %s, that no state of the last %v needs\n", v.Expired, mebibytes(v.ExpiredBytes), window)
	default:
		fmt.Fprintf(w, "%sremoved %d objects, %s, that no state of the last %v needs\n", would, v.Expired, mebibytes(v.ExpiredBytes), window)
	}
	if v.Left > 0 {
		fmt.Fprintf(w, "left %d objects, %s, that have expired: %s\n", v.Left, mebibytes(v.LeftBytes), v.LeftBecause)
	}
	if v.Oldest != nil {
		fmt.Fprintf(w, "the oldest state that can be restored is of %s\n", pointed(v.Oldest))
	}
}
