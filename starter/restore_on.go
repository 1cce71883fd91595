package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/config"
	"github.com/holdfast-db/holdfast/internal/restore"
	"github.com/holdfast-db/holdfast/workflows"
	"github.com/holdfast-db/holdfast/workflows/control"
)

// restoredOn is the answer of restore --on as JSON has it.
type restoredOn struct {
	ID string `json:"id"` // of the workflow
	restored
	Host     string `json:"host"`
	Digested bool   `json:"digest_checked"`     // the digest of the whole database was compared
	Replaced string `json:"replaced,omitempty"` // registered database that goes on from the file
}

// begun is the answer of restore --on --detach as JSON has it.
type begun struct {
	ID     string `json:"id"`
	Host   string `json:"host"`
	Output string `json:"output"`
}

// checkPlace refuses flags that have no meaning where the file goes.
func (r restoring) checkPlace(c *cobra.Command) error {
	if r.on == "" {
		if r.detach {
			return usageHint(c, "--detach is for a restore by a worker", "name its host with --on")
		}
		return nil
	}
	for _, other := range []string{"if-absent", "if-replica-exists", "dry-run"} {
		if err := either(c, "on", other); err != nil {
			return err
		}
	}
	if err := config.CheckHost(r.on); err != nil {
		return usageOf(c, fmt.Errorf("--on: %w", err))
	}
	if !filepath.IsAbs(r.output) {
		return usageHint(c, fmt.Sprintf("-o %s: got a relative path", r.output), "with --on, name the file from the root of that host")
	}
	return nil
}

// restoreOn has the worker of a host restore.
func (a *app) restoreOn(ctx context.Context, r restoring, from string, opts restore.Options) error {
	request, err := r.request(from, opts)
	if err != nil {
		return err
	}
	return a.with(ctx, func(f fleet) error {
		id, err := f.StartRestore(ctx, request)
		if err != nil {
			return err
		}
		if r.detach {
			v := begun{id, request.Host, request.Path}
			return a.emit(v, func(w io.Writer) { fmt.Fprintf(w, "begun: %s; the Temporal UI shows how far it is\n", v.ID) })
		}
		return a.await(ctx, f, id)
	})
}

// request says what the worker is to do.
func (r restoring) request(from string, opts restore.Options) (workflows.RestoreRequest, error) {
	request := workflows.RestoreRequest{
		Host: r.on, Path: opts.Output, TXID: opts.Target.TXID, At: opts.Target.At, Force: opts.Force,
		Integrity: string(opts.Integrity), Mode: uint32(opts.Mode), Owner: r.owner,
	}
	if !strings.Contains(from, "://") {
		request.Database = from
		return request, named(from)
	}
	u, err := blob.ParseURL(from)
	if err != nil {
		return request, err
	}
	request.Replica = from
	if request.Name, err = config.DefaultName(u.Path); err != nil {
		request.Name = "restore"
	}
	return request, nil
}

// await follows a restore to its end. Who does not wait for that gives it up.
func (a *app) await(ctx context.Context, f fleet, id string) error {
	shown := &follower{bar: newBar(a.stderr, a.terminal, a.now), quiet: a.asJSON()}
	res, err := f.FollowRestore(ctx, id, shown.show)
	shown.bar.end()
	switch {
	case err == nil:
		return a.emitRestored(id, res)
	case ctx.Err() != nil:
		return a.giveUp(ctx, f, id)
	case errors.Is(err, control.ErrNoAnswer):
		return errors.Join(err, f.CancelRestore(ctx, id))
	}
	return err
}

func (a *app) emitRestored(id string, res workflows.Restored) error {
	v := restoredOn{
		ID: id, Host: res.Host, Digested: res.Digested, Replaced: res.Replaced,
		restored: restored{
			Output: res.Path, Replica: res.Replica, TXID: res.TXID.String(), Created: instant(res.Created),
			Bytes: res.Bytes, Objects: res.Objects, Fetched: res.Fetched, Took: time.Duration(res.Took).Seconds(),
		},
	}
	return a.emit(v, v.print)
}

func (v restoredOn) print(w io.Writer) {
	fmt.Fprintf(w, "restored %s on %s: txid %s of %s, %s from %d objects in %.1f s\n",
		v.Output, v.Host, v.TXID, pointed(v.Created), mebibytes(v.Bytes), v.Objects, v.Took)
	if v.Replaced != "" {
		fmt.Fprintf(w, "%s goes on from it: its next pass compares all pages, and ships those that differ\n", v.Replaced)
	}
}

// giveUpWithin is how long somebody who has interrupted is kept to hear what came of it:
// a worker learns of a cancellation with its next heartbeat.
const giveUpWithin = 30 * time.Second

// giveUp cancels a restore and says what came of it.
func (a *app) giveUp(ctx context.Context, f fleet, id string) error {
	if !a.asJSON() {
		fmt.Fprintf(a.stderr, "cancelling %s\n", id)
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveUpWithin)
	defer cancel()
	_ = f.CancelRestore(within, id) // whatever comes of it is told by the restore's end
	res, err := f.FollowRestore(within, id, func(control.RestoreView) {})
	var refused *control.Refused
	text := fmt.Sprintf("interrupted; the restore may still go on, see %s in the Temporal UI", id)
	switch {
	case err == nil:
		text = fmt.Sprintf("interrupted; but the restore was done by then, and %s is there on %s", res.Path, res.Host)
	case errors.As(err, &refused) && refused.Type == control.RestoreCancelled:
		text = "interrupted; the restore was cancelled, and nothing of it is left"
	case errors.As(err, &refused):
		text = "interrupted; the restore had failed: " + refused.Message
	}
	return &fault{statusInterrupted, typeInterrupted, errors.New(text)}
}

// follower shows how far a restore on a host is.
type follower struct {
	bar   *bar
	said  string
	begun bool // something was read
	quiet bool
}

func (s *follower) show(v control.RestoreView) {
	if s.quiet {
		return
	}
	if text := saying(v); text != "" && text != s.said {
		s.bar.say(text)
		s.said = text
	}
	if v.Beat == nil || v.Beat.BytesTotal == 0 {
		return
	}
	if !s.begun { // what came before it was no reading
		s.begun, s.bar.begun = true, s.bar.now()
	}
	s.bar.tell(restore.Progress{Objects: v.Beat.Objects, ObjectsTotal: v.Beat.ObjectsTotal, Bytes: v.Beat.Bytes, BytesTotal: v.Beat.BytesTotal})
}

// saying is what a person needs to hear beside how far it is, if anything.
func saying(v control.RestoreView) string {
	switch {
	case v.Begun && !v.Answering:
		return "no worker answers; it goes on when one does"
	case v.Phase == workflows.RestoreHostOffline:
		return fmt.Sprintf("host %s does not answer; waiting for it until %s", v.Request.Host, stamp(v.Until))
	case v.Phase == workflows.RestoreWaiting:
		return fmt.Sprintf("no slot on host %s yet; waiting for other restores there", v.Request.Host)
	case v.Attempt != nil && v.Attempt.Number > 1 && v.Attempt.Failure != "":
		return fmt.Sprintf("attempt %d: %s", v.Attempt.Number, v.Attempt.Failure)
	case v.Held != "":
		return fmt.Sprintf("%s is paused while its file is replaced", v.Held)
	}
	return ""
}
