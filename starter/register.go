package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast/internal/config"
	"github.com/holdfast-db/holdfast/workflows"
	"github.com/holdfast-db/holdfast/workflows/control"
)

// registering is what the flags of register say.
type registering struct {
	config, name, replica, host string
	interval, window            time.Duration
	move, adopt, takeOver       bool
	wait, noWait                bool
}

func (a *app) register() *cobra.Command {
	var r registering
	c := &cobra.Command{
		Use:   "register PATH",
		Short: "Replicate a database from now on",
		Long: `Replicate a database from now on.

The worker of its host looks at the database and at the replica first, and refuses what cannot work. Registering
a database again changes nothing but what is different now. Without --host it is a database of this machine.`,
		Example: "  holdfast register /var/lib/shop/shop.db --replica abs://account@backups/prod/shop",
		Args:    arguments("PATH", 1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			spec, err := a.spec(c, r, args[0])
			if err != nil {
				return err
			}
			return a.ask(c.Context(), func(f fleet) error { return a.doRegister(c.Context(), f, spec, r) })
		},
	}
	flags := c.Flags()
	flags.StringVar(&r.config, "config", "", "configuration file (default: holdfast.yml, /etc/holdfast/holdfast.yml)")
	flags.StringVar(&r.name, "name", "", "name of the database (default: its file name without the extension)")
	flags.StringVar(&r.replica, "replica", "", "URL of its replica (default: its name below the configured root)")
	flags.StringVar(&r.host, "host", "", "host that the database is on (default: this one)")
	flags.DurationVar(&r.interval, "interval", 0, "time between two passes; 0 for no pause (default: sync.interval)")
	flags.DurationVar(&r.window, "window", 0, "length of one Sync activity; 0 for one pass each (default: sync.window)")
	flags.BoolVar(&r.move, "move", false, "even if the name belongs to another host, path or replica")
	flags.BoolVar(&r.adopt, "adopt", false, "take on a replica that names no writer, such as Litestream's")
	flags.BoolVar(&r.takeOver, "take-over", false, "take on a replica that another writer wrote")
	flags.BoolVar(&r.wait, "wait", true, "wait for the first pass")
	flags.BoolVar(&r.noWait, "no-wait", false, "do not wait for the first pass")
	return c
}

// spec puts flags, configuration and defaults together.
func (a *app) spec(c *cobra.Command, r registering, path string) (workflows.Spec, error) {
	if err := either(c, "wait", "no-wait"); err != nil {
		return workflows.Spec{}, err
	}
	settings, err := a.settings(r.config)
	if err != nil {
		return workflows.Spec{}, err
	}
	spec := workflows.Spec{Name: r.name, Adopt: r.adopt, TakeOver: r.takeOver, Settings: following(settings)}
	if spec.Host, spec.Path, err = a.place(c, settings, r.host, path); err != nil {
		return workflows.Spec{}, err
	}
	if spec.Name == "" {
		if spec.Name, err = config.DefaultName(spec.Path); err != nil {
			return workflows.Spec{}, usageOf(c, fmt.Errorf("%w with --name", err))
		}
	}
	if err := config.CheckName(spec.Name); err != nil {
		return workflows.Spec{}, usageOf(c, err)
	}
	if spec.Replica, err = settings.ReplicaOf(spec.Name, r.replica); err != nil {
		return workflows.Spec{}, misconfigured(err)
	}
	if spec.Replica == "" {
		return workflows.Spec{}, misconfigured(fmt.Errorf("%s has no replica; say --replica, or configure a root for all", spec.Name))
	}
	if c.Flags().Changed("interval") {
		spec.Settings.Interval = r.interval
	}
	if c.Flags().Changed("window") {
		spec.Settings.Window = r.window
	}
	if err := spec.Settings.Validate(); err != nil {
		return workflows.Spec{}, usageOf(c, err)
	}
	return spec, nil
}

// following is how the configuration says that databases are followed, and what is kept
// of their past.
func following(c config.Config) workflows.Settings {
	return workflows.Settings{
		Interval: c.Sync.Interval, Window: c.Sync.Window, Heartbeat: c.Sync.Heartbeat,
		BackoffCap: c.Backoff.Cap, WALLimit: int64(c.Sync.WALLimit), Scrub: config.OrNever(c.Sync.Scrub),
		IdleAfter: config.OrNever(c.Sync.IdleAfter), ColdAfter: config.OrNever(c.Sync.ColdAfter), Autonomy: config.OrNever(c.Sync.Autonomy),
		Retention: c.Retention.Window, Level0: c.Retention.Level0, StoreExpires: c.Retention.Store,
	}
}

// place says which file on which host path means. A path on another host cannot
// be relative to where we are.
func (a *app) place(c *cobra.Command, settings config.Config, host, path string) (onHost, absolute string, err error) {
	if host != "" {
		if err := config.CheckHost(host); err != nil {
			return "", "", usageOf(c, err)
		}
		settings.Host = host
		if !filepath.IsAbs(path) {
			return "", "", usageHint(c, fmt.Sprintf("path %q is relative", path), "write the absolute path on host "+host)
		}
	}
	if onHost, err = a.thisHost(settings); err != nil {
		return "", "", err
	}
	absolute, err = filepath.Abs(path)
	return onHost, absolute, err
}

func (a *app) doRegister(ctx context.Context, f fleet, spec workflows.Spec, r registering) error {
	res, err := f.Register(ctx, workflows.Registration{Spec: spec, Move: r.move, Wait: r.wait && !r.noWait})
	if err != nil {
		return err
	}
	s := control.Status{Status: res.Status, Answering: true}
	if res.Unanswered {
		s = control.Status{Status: workflows.Status{
			Name: spec.Name, Host: spec.Host, Path: spec.Path, Replica: spec.Replica, Settings: spec.Settings, Phase: workflows.Starting,
		}}
	}
	answer := struct {
		view
		New           bool `json:"new"`
		Changed       bool `json:"changed"`
		HostAnswering bool `json:"host_answering"`
	}{see(s, a.now()), res.New, res.Changed, res.Answering}
	return a.emit(answer, func(w io.Writer) {
		fmt.Fprintln(w, registered(spec, res))
		answer.text(w)
	})
}

// registered says in one sentence what happened.
func registered(spec workflows.Spec, res control.Registered) string {
	switch {
	case res.Unanswered:
		return fmt.Sprintf("%s is registered; no worker answers on queue %s, so start holdfast-worker on host %s", spec.Name, workflows.TaskQueue, spec.Host)
	case !res.Answering:
		return fmt.Sprintf("%s is registered; host %s does not answer, so start holdfast-worker there", spec.Name, spec.Host)
	case res.New:
		return fmt.Sprintf("%s is registered", spec.Name)
	case res.Changed:
		return fmt.Sprintf("%s was registered already, and is changed now", spec.Name)
	}
	return fmt.Sprintf("%s was registered already; nothing has changed", spec.Name)
}
