package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/config"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/workflows"
)

// verifying is what the flags of verify say.
type verifying struct {
	config  string
	scratch string
	full    bool
	cheap   bool
	check   string
	within  time.Duration
	repair  bool
	every   time.Duration
	off     bool
	budget  int64 // bytes
}

func (a *app) verify() *cobra.Command {
	var v verifying
	c := &cobra.Command{
		Use:   "verify NAME|URL",
		Short: "Prove that a replica restores, and find what in it is damaged",
		Long: `Restore the latest state of a replica into scratch space, compare it with the digest of what was shipped, let SQLite
check it, and read every other object of the replica too. By name it is done by a worker, another one than the
database's host where there is one, and remembered; by URL here and now, with neither Temporal nor a worker.

With --repair the database puts a snapshot if it takes that to make the latest state restorable, and damaged objects
are set aside, under damaged/ beside ltx/. With --every it is done again and again, until --off.`,
		Example: `  holdfast verify shop
  holdfast verify shop --check "SELECT count(*) > 0 FROM orders" --repair
  holdfast verify shop --every 24h --budget 50GiB
  holdfast verify abs://account@backups/prod/shop`,
		Args: arguments("NAME or URL", 1, 1),
		RunE: func(c *cobra.Command, args []string) error { return a.doVerify(c, v, args[0]) },
	}
	c.Flags().BoolVar(&v.full, "full", false, "restore the latest state and read all objects; the default")
	c.Flags().BoolVar(&v.cheap, "cheap", false, "restore nothing: list the objects, and read those that came after the last proof; by URL all")
	c.Flags().StringVar(&v.check, "check", "", "SQL that gives 1 if the restored database is as it should be")
	c.Flags().DurationVar(&v.within, "check-within", 5*time.Minute, "how long the SQL may take")
	c.Flags().BoolVar(&v.repair, "repair", false, "repair what is found")
	c.Flags().DurationVar(&v.every, "every", 0, "do it once in this time, from now on; 1m at least")
	c.Flags().BoolVar(&v.off, "off", false, "do it no more")
	c.Flags().Var(size{&v.budget}, "budget", "bytes that may be read in a day, such as 50GiB (default: no limit)")
	c.Flags().StringVar(&v.scratch, "scratch", "", "by URL: directory with room for the database (default: the system's for temporary files)")
	c.Flags().StringVar(&v.config, "config", "", "by URL: configuration file, for the azure settings (default: holdfast.yml, /etc/holdfast/holdfast.yml)")
	return c
}

// size is a flag with a number of bytes.
type size struct{ bytes *int64 }

// String returns the size; nothing for none.
func (s size) String() string {
	if s.bytes == nil || *s.bytes == 0 {
		return ""
	}
	return config.Size(*s.bytes).String()
}

// Set reads a size such as 64MiB.
func (s size) Set(text string) error {
	n, err := config.ParseSize(text)
	if err == nil && n == 0 {
		err = fmt.Errorf("got %q; leave it out for no limit", text)
	}
	*s.bytes = int64(n)
	return err
}

// Type names the value in the help.
func (s size) Type() string { return "size" }

// leastEvery is how often a replica may be verified at most.
const leastEvery = time.Minute

func (a *app) doVerify(c *cobra.Command, v verifying, from string) error {
	byURL := strings.Contains(from, "://")
	for _, pair := range [][2]string{{"full", "cheap"}, {"every", "off"}, {"cheap", "check"}} {
		if err := either(c, pair[0], pair[1]); err != nil {
			return err
		}
	}
	switch {
	case byURL && (v.every != 0 || v.off):
		return usageHint(c, "a schedule needs a registered database", "say its name")
	case c.Flags().Changed("every") && v.every < leastEvery:
		return usageHint(c, fmt.Sprintf("--every is %v", v.every), fmt.Sprintf("write %v or more", leastEvery))
	case !byURL && config.CheckName(from) != nil:
		return misconfigured(notASource(from))
	case byURL:
		return a.verifyHere(c.Context(), v, from)
	case v.scratch != "":
		return usageHint(c, "--scratch is for a URL", "set maintenance.scratch for the workers")
	}
	return a.ask(c.Context(), func(f fleet) error {
		switch {
		case v.off:
			return a.verifyOff(c.Context(), f, from)
		case v.every != 0:
			return a.verifyEvery(c.Context(), f, v, from)
		}
		answer, err := f.Verify(c.Context(), v.request(from))
		if err != nil {
			return err
		}
		return a.emitVerified(answer)
	})
}

func (v verifying) request(name string) workflows.VerifyRequest {
	return workflows.VerifyRequest{
		Name: name, Cheap: v.cheap, Check: v.check, CheckWithin: activities.Duration(v.within), Repair: v.repair, Budget: v.budget,
	}
}

func (a *app) verifyEvery(ctx context.Context, f fleet, v verifying, name string) error {
	created, err := f.VerifyEvery(ctx, v.request(name), v.every)
	if err != nil {
		return err
	}
	answer := map[string]any{"name": name, "every_seconds": v.every.Seconds(), "created": created, "schedule_id": workflows.VerifyID(name)}
	return a.emit(answer, func(w io.Writer) {
		fmt.Fprintf(w, "%s is verified once in %v from now on; holdfast verify %s --off ends that\n", name, v.every, name)
	})
}

func (a *app) verifyOff(ctx context.Context, f fleet, name string) error {
	was, err := f.VerifyOff(ctx, name)
	if err != nil {
		return err
	}
	return a.emit(map[string]any{"name": name, "ended": was}, func(w io.Writer) {
		if was {
			fmt.Fprintf(w, "%s is not verified by itself any more\n", name)
			return
		}
		fmt.Fprintf(w, "%s was not verified by itself\n", name)
	})
}

// verifyHere verifies a replica without Temporal.
func (a *app) verifyHere(ctx context.Context, v verifying, url string) error {
	settings, err := a.settings(v.config)
	if err != nil {
		return err
	}
	source, err := a.open(ctx, settings.Azure.Credentials, url)
	if err != nil {
		return err
	}
	in := activities.VerifyInput{Replica: url, Cheap: v.cheap, Check: v.check, CheckWithin: activities.Duration(v.within), Budget: v.budget}
	answer := workflows.VerifyAnswer{Replica: url}
	answer.Found.Worker, _ = a.hostname()
	if err := activities.Examine(ctx, source, in, v.scratch, nil, &answer.Found); err != nil {
		return err
	}
	if answer.Found.Survey.Objects == 0 {
		return noReplica(url)
	}
	if answer.Fresh = answer.Found.Survey.Gaps; v.repair && answer.Broken() {
		if err := repairHere(ctx, source, in, v.scratch, &answer); err != nil {
			return err
		}
	}
	answer.OK = len(answer.Problems()) == 0
	return a.emitVerified(answer)
}

// repairHere repairs what can be without the database: nobody can ask it for help.
func repairHere(ctx context.Context, source *replica.Replica, in activities.VerifyInput, scratch string, answer *workflows.VerifyAnswer) (err error) {
	r := &workflows.RepairAnswer{}
	if answer.Repair = r; answer.NeedsSnapshot() {
		r.Refused = "by URL nobody asks it; verify by its name"
	}
	damaged := activities.RepairInput{Replica: in.Replica, Damaged: answer.Found.Survey.Damaged, Alone: r.Refused != ""}
	if r.Mending, err = activities.SetAside(ctx, source, damaged, scratch); err != nil {
		return err
	}
	if in.Cheap = false; damaged.Alone {
		in.TXID = r.Mending.Newest
	}
	answer.Again = &activities.VerifyResult{Worker: answer.Found.Worker}
	return activities.Examine(ctx, source, in, scratch, nil, answer.Again)
}

// emitVerified prints an answer, and fails with what is wrong.
func (a *app) emitVerified(answer workflows.VerifyAnswer) error {
	view := seeVerified(answer)
	if err := a.emit(view, view.print); err != nil || answer.OK {
		return err
	}
	what := strings.Join(answer.Problems(), ", and ")
	if !strings.Contains(what, "; ") && answer.Repair == nil {
		what += "; holdfast verify --repair repairs it"
	}
	return &fault{statusFailed, typeNotProven, errors.New(what)}
}
