package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/holdfast-db/holdfast/workflows"
	"github.com/holdfast-db/holdfast/workflows/control"
)

// view is a status as JSON has it: bytes, seconds, and times in UTC. What is not
// known is null.
type view struct {
	Name         string       `json:"name"`
	Host         string       `json:"host"`
	Path         string       `json:"path"`
	Replica      string       `json:"replica"`
	Phase        string       `json:"phase"`
	Since        *time.Time   `json:"since"`
	Paused       bool         `json:"paused"`
	PauseReason  string       `json:"pause_reason,omitempty"`
	Answering    bool         `json:"answering"` // a worker has answered; else all this is from the service's records
	TXID         *string      `json:"txid"`
	SyncedAt     *time.Time   `json:"synced_at"`
	Lag          *float64     `json:"lag_seconds"` // now minus synced_at
	Behind       int64        `json:"behind_bytes"`
	Spool        int64        `json:"spool_bytes"`
	LastPut      *time.Time   `json:"last_put"`
	Transactions int64        `json:"transactions"`
	Objects      int          `json:"objects"`
	Shipped      int64        `json:"shipped_bytes"`
	Resyncs      int          `json:"resyncs"`
	ResyncReason string       `json:"resync_reason,omitempty"`
	Failures     int          `json:"failures"` // consecutive
	Problem      *problemView `json:"problem"`
	NextAttempt  *time.Time   `json:"next_attempt"`
	Attempt      int32        `json:"attempt"` // of the window under way; 0 for none
	Heartbeat    *time.Time   `json:"heartbeat"`
	Worker       string       `json:"worker,omitempty"`
	CleanUps     int          `json:"clean_ups"`
	GivenUp      *spanView    `json:"given_up,omitempty"` // states that cannot be restored one by one
	Interval     float64      `json:"interval_seconds"`
	Window       float64      `json:"window_seconds"`
	Workflow     string       `json:"workflow_id"`
	Retention    *keptView    `json:"retention,omitempty"` // absent where no worker has answered

	Verification *verificationView `json:"verification,omitempty"` // absent where there was none
}

// spanView is a stretch of time.
type spanView struct {
	From  *time.Time `json:"from"`
	Until *time.Time `json:"until"`
}

type problemView struct {
	Type    string     `json:"type"`
	Message string     `json:"message"`
	At      *time.Time `json:"at"`
}

// see makes a view at now.
func see(s control.Status, now time.Time) view {
	v := view{
		Name: s.Name, Host: s.Host, Path: s.Path, Replica: s.Replica,
		Phase: string(s.Phase), Since: instant(s.Since), Paused: s.Paused, PauseReason: s.PauseReason, Answering: s.Answering,
		SyncedAt: instant(s.SyncedAt), Behind: s.BehindBytes, Spool: s.SpoolBytes,
		LastPut: instant(s.LastPut), Transactions: s.Transactions, Objects: s.Puts, Shipped: s.Bytes,
		Resyncs: s.Resyncs, ResyncReason: s.ResyncReason, Failures: s.Failures, NextAttempt: instant(s.NextAttempt),
		CleanUps: s.CleanUps.Count, Interval: s.Settings.Interval.Seconds(), Window: s.Settings.Window.Seconds(),
		Workflow: workflows.WorkflowID(s.Name),
	}
	if s.Answering {
		v.Retention = seeKept(s)
		v.Verification = seeVerification(s.Verified)
	}
	if f := s.CleanUps.Folded; f != nil {
		v.GivenUp = &spanView{From: instant(f.From), Until: instant(f.Until)}
	}
	if txid := s.TXID.String(); s.Answering || s.TXID != 0 {
		v.TXID = &txid
	}
	if !s.SyncedAt.IsZero() {
		lag := max(0, now.Sub(s.SyncedAt)).Seconds()
		if s.Phase == workflows.Idle && s.Answering {
			lag = 0 // its host would have told
		}
		v.Lag = &lag
	}
	if p := s.Problem; p != nil {
		v.Problem = &problemView{p.Type, p.Message, instant(p.At)}
	}
	if s.Attempt != nil {
		v.Attempt, v.Worker, v.Heartbeat = s.Attempt.Number, s.Attempt.Worker, instant(s.Attempt.Heartbeat)
		if !s.Attempt.Next.IsZero() {
			v.NextAttempt = instant(s.Attempt.Next)
		}
	}
	return v
}

func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func (v view) text(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	line("database", "%s", v.Name)
	line("phase", "%s", v.phaseText())
	if m := workflows.Phase(v.Phase).Meaning(); m.What != "" {
		line("meaning", "%s", m.What)
		if m.Do != nothingToDo {
			line("to do", "%s", m.Do)
		}
	}
	line("file", "%s:%s", orDash(v.Host), orDash(v.Path))
	line("replica", "%s", orDash(v.Replica))
	if v.TXID != nil {
		v.progress(line)
	}
	if v.Retention != nil {
		v.Retention.text(line)
	}
	if v.Verification != nil {
		v.Verification.text(line)
	}
	v.troubles(line)
	line("workflow", "%s", v.Workflow)
	_ = t.Flush() // into a strings.Builder
}

// nothingToDo is what to do about a phase that is as it should be.
const nothingToDo = "Nothing."

// progress prints how far replication has come.
func (v view) progress(line func(name, format string, args ...any)) {
	line("txid", "%s", *v.TXID)
	line("lag", "%s", v.lagText())
	line("behind", "%s of log, %s in the spool", mebibytes(v.Behind), mebibytes(v.Spool))
	line("shipped", "%d transactions, %d objects, %s; last at %s", v.Transactions, v.Objects, mebibytes(v.Shipped), pointed(v.LastPut))
	if v.Resyncs > 0 {
		line("resyncs", "%d, last because %s", v.Resyncs, orDash(v.ResyncReason))
	}
}

// troubles prints what a healthy database has none of.
func (v view) troubles(line func(name, format string, args ...any)) {
	if !v.Answering {
		line("note", "no worker answers; this is what Temporal has on record")
	}
	if v.Failures > 0 {
		line("failures", "%d in a row", v.Failures)
	}
	if p := v.Problem; p != nil {
		line("problem", "%s: %s", p.Type, strings.Join(strings.Fields(p.Message), " "))
	}
	if v.NextAttempt != nil && v.Failures > 0 {
		line("next try", "%s", pointed(v.NextAttempt))
	}
	if v.CleanUps > 0 {
		line("clean-ups", "%d", v.CleanUps)
	}
	if g := v.GivenUp; g != nil {
		line("given up", "for want of disk space: the states from %s until %s one by one; what they led to is kept", pointed(g.From), pointed(g.Until))
	}
}

func (v view) phaseText() string {
	text := orDash(v.Phase)
	if v.Since != nil {
		text += " since " + pointed(v.Since)
	}
	if v.Paused && v.PauseReason != "" {
		text += " (" + strings.Join(strings.Fields(v.PauseReason), " ") + ")"
	}
	return text
}

func (v view) lagText() string {
	if v.Lag == nil {
		return "unknown: no pass has succeeded yet"
	}
	return fmt.Sprintf("%.1f s, equal at %s", *v.Lag, pointed(v.SyncedAt))
}

func pointed(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return stamp(*t)
}
