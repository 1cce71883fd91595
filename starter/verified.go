package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/workflows"
)

// verifiedView is the answer of verify as JSON has it.
type verifiedView struct {
	Name      string            `json:"name,omitempty"`
	Replica   string            `json:"replica"`
	OK        bool              `json:"ok"`
	Worker    string            `json:"worker"` // host that did it
	Proven    *provenView       `json:"proven"`
	Skipped   string            `json:"skipped,omitempty"` // why no proof was tried
	Fault     *activities.Fault `json:"fault,omitempty"`
	Objects   int               `json:"objects"`
	Bytes     int64             `json:"bytes"`
	Read      int               `json:"read"`
	ReadBytes int64             `json:"read_bytes"`
	Digested  int               `json:"digested"`
	Unread    int               `json:"unread"`
	UnreadLen int64             `json:"unread_bytes"`
	States    int               `json:"states"`
	Oldest    pointView         `json:"oldest"`
	Newest    pointView         `json:"newest"`
	Damaged   []damagedView     `json:"damaged,omitempty"`
	Damages   int               `json:"damages"`
	Gaps      []string          `json:"gaps,omitempty"`
	GapCount  int               `json:"gap_count"`
	Missing   string            `json:"missing,omitempty"` // TXID that had been put, and is gone
	Repair    *repairView       `json:"repair,omitempty"`
}

type provenView struct {
	TXID      string     `json:"txid"`
	Created   *time.Time `json:"created"`
	At        *time.Time `json:"at"`
	Worker    string     `json:"worker"`
	Elsewhere bool       `json:"elsewhere"` // another host than the database's
	Digest    bool       `json:"digest"`
	Checked   bool       `json:"checked"`
	Bytes     int64      `json:"bytes"`
	Objects   int        `json:"objects"`
	Read      int64      `json:"read_bytes"`
	Took      float64    `json:"seconds"`
}

type damagedView struct {
	Key     string `json:"key"`
	Why     string `json:"why"`
	Certain bool   `json:"certain"`
}

type repairView struct {
	Snapshot string     `json:"snapshot,omitempty"`
	Refused  string     `json:"refused,omitempty"`
	Aside    []string   `json:"aside,omitempty"`
	Later    []string   `json:"later,omitempty"`
	When     *time.Time `json:"later_from,omitempty"`
	Merged   string     `json:"merged,omitempty"`
	Lost     []lostView `json:"lost,omitempty"`
}

func seeProven(p *activities.Proven) *provenView {
	if p == nil {
		return nil
	}
	return &provenView{
		TXID: p.TXID.String(), Created: instant(p.Created), At: instant(p.At), Worker: p.Worker, Elsewhere: p.Elsewhere,
		Digest: p.Digest, Checked: p.Checked, Bytes: p.Bytes, Objects: p.Objects, Read: p.Read, Took: time.Duration(p.Took).Seconds(),
	}
}

func seeVerified(answer workflows.VerifyAnswer) verifiedView {
	found, last := answer.Found.Survey, answer.Last()
	v := verifiedView{
		Name: answer.Name, Replica: answer.Replica, OK: answer.OK, Worker: last.Worker, Proven: seeProven(last.Proven), Skipped: last.Skipped, Fault: last.Fault,
		Objects: last.Survey.Objects, Bytes: last.Survey.Bytes, Read: last.Survey.Read, ReadBytes: last.Survey.ReadBytes,
		Digested: last.Survey.Digested, Unread: last.Survey.Unread, UnreadLen: last.Survey.Unsize, States: last.Survey.States,
		Oldest:  pointView{last.Survey.Oldest.String(), instant(last.Survey.OldestAt)},
		Newest:  pointView{last.Survey.Newest.String(), instant(last.Survey.NewestAt)},
		Damages: found.Damages, Gaps: found.Gaps, GapCount: found.GapCount, Repair: seeRepair(answer, last),
	}
	for _, d := range found.Damaged {
		v.Damaged = append(v.Damaged, damagedView{d.Key, d.Why, d.Certain})
	}
	if found.Missing != 0 {
		v.Missing = found.Missing.String()
	}
	return v
}

func seeRepair(answer workflows.VerifyAnswer, last activities.VerifyResult) *repairView {
	r := answer.Repair
	if r == nil {
		return nil
	}
	v := &repairView{Refused: r.Refused, Aside: r.Mending.Aside, Later: r.Mending.Later, When: instant(r.Mending.When), Merged: r.Mending.Merged}
	if r.Snapshot != 0 {
		v.Snapshot = r.Snapshot.String()
	}
	lost := r.Mending.Lost
	if len(lost) == 0 {
		lost = last.Mending.Lost
	}
	for _, l := range lost {
		v.Lost = append(v.Lost, lostView{l.Min.String(), l.Max.String()})
	}
	return v
}

func (v verifiedView) print(w io.Writer) {
	line := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	for _, d := range v.Damaged {
		sure := ""
		if !d.Certain {
			sure = " (or an object before it)"
		}
		line("damaged: %s%s: %s", d.Key, sure, d.Why)
	}
	if n := v.Damages - len(v.Damaged); n > 0 {
		line("and %d more damaged objects", n)
	}
	for _, g := range v.Gaps {
		line("%s", g)
	}
	if v.Missing != "" {
		line("TXID %s had been put, and is gone", v.Missing)
	}
	v.Repair.print(line)
	line("%d objects, %s: %d read, %d of them compared with digests; %d states from %s to %s",
		v.Objects, mebibytes(v.Bytes), v.Read, v.Digested, v.States, pointed(v.Oldest.Created), pointed(v.Newest.Created))
	if v.Unread > 0 {
		line("%d objects, %s, were not read", v.Unread, mebibytes(v.UnreadLen))
	}
	if v.Skipped != "" {
		line("nothing was restored: %s", v.Skipped)
	}
	if v.Proven != nil {
		line("%s", v.Proven.text())
	}
}

// text says what was proven.
func (p provenView) text() string {
	how := []string{"integrity_check"}
	if p.Digest {
		how = append([]string{"digest"}, how...)
	}
	if p.Checked {
		how = append(how, "own check")
	}
	return fmt.Sprintf("proven restorable at txid %s of %s: %s from %d objects in %.1f s on %s (%s)",
		p.TXID, pointed(p.Created), mebibytes(p.Bytes), p.Objects, p.Took, orDash(p.Worker), strings.Join(how, ", "))
}

func (r *repairView) print(line func(format string, args ...any)) {
	if r == nil {
		return
	}
	if r.Snapshot != "" {
		line("repaired: the database has put a snapshot, txid %s", r.Snapshot)
	}
	for _, key := range r.Aside {
		line("repaired: %s was set aside, as damaged/%s", key, strings.TrimPrefix(key, "ltx/"))
	}
	if r.Merged != "" {
		line("kept what is sound as %s", r.Merged)
	}
	for _, key := range r.Later {
		until := "until another object is the newest"
		if r.When != nil {
			until = "until " + pointed(r.When)
		}
		line("%s stays where it is %s", key, until)
	}
	for _, l := range r.Lost {
		line("lost: the states from txid %s to %s cannot be restored any more", l.Min, l.Max)
	}
}

// verificationView is what is remembered of verifications.
type verificationView struct {
	At      *time.Time  `json:"at"` // of the last
	Cheap   bool        `json:"cheap,omitempty"`
	Problem string      `json:"problem,omitempty"`
	Repair  string      `json:"repair,omitempty"`
	Proven  *provenView `json:"proven"` // the last proof
	Lost    []lostView  `json:"lost,omitempty"`
	Damaged int         `json:"damaged"`
	Gaps    int         `json:"gaps"`
	Left    string      `json:"not_read,omitempty"`
}

func seeVerification(m activities.Verification) *verificationView {
	if m.At.IsZero() && m.Left == "" {
		return nil
	}
	v := &verificationView{
		At: instant(m.At), Cheap: m.Cheap, Problem: m.Problem, Repair: m.Repair, Proven: seeProven(m.Proven),
		Damaged: m.Damaged, Gaps: m.Gaps, Left: m.Left,
	}
	for _, l := range m.Lost {
		v.Lost = append(v.Lost, lostView{l.Min.String(), l.Max.String()})
	}
	return v
}

// text prints what verifications have found.
func (v verificationView) text(line func(name, format string, args ...any)) {
	if v.Proven != nil {
		line("proven", "at %s: %s", pointed(v.Proven.At), strings.TrimPrefix(v.Proven.text(), "proven "))
	}
	switch {
	case v.Problem != "":
		line("verified", "at %s: %s", pointed(v.At), strings.Join(strings.Fields(v.Problem), " "))
	case v.At != nil:
		line("verified", "at %s: nothing is wrong", pointed(v.At))
	}
	if v.Repair != "" {
		line("repair", "%s", v.Repair)
	}
	for _, l := range v.Lost {
		line("lost", "the states from txid %s to %s", l.Min, l.Max)
	}
	if v.Left != "" {
		line("not read", "%s", v.Left)
	}
}
