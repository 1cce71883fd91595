package activities

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/verify"
)

// Names under which what verifies and repairs a replica is registered.
const (
	NameVerify   = "Verify"
	NameRepair   = "Repair"
	NameLookUp   = "LookUp"
	NameSnapshot = "Snapshot"
)

// mostListed is how many objects, gaps or ranges an answer names: it is kept in a
// history. What is beyond is counted, and found again by the next verification.
const mostListed = 500

// Fleet is how a verification hears of the database, and asks it for help.
type Fleet interface {
	// Known returns what the database's workflow knows of it.
	Known(ctx context.Context, name string) (Known, error)
	// Snapshot has the database's host put a snapshot, unless there is one of a later state
	// than after, and returns when it is durable.
	Snapshot(ctx context.Context, name string, after ltx.TXID) (Progress, error)
}

// Known is a registered database, as its workflow knows it.
type Known struct {
	Host     string       `json:"host"`
	Replica  string       `json:"replica"`
	TXID     ltx.TXID     `json:"txid,omitempty"` // the last that it heard of
	Verified Verification `json:"verified,omitzero"`

	Window Duration `json:"window,omitempty"` // for which states are kept
	Level0 Duration `json:"level0,omitempty"` // and each of them
}

// Verification is what is remembered of the verifications of a replica.
type Verification struct {
	Proven  *Proven   `json:"proven,omitempty"` // the last proof
	At      time.Time `json:"at,omitzero"`      // of the last verification
	Cheap   bool      `json:"cheap,omitempty"`  // it restored nothing
	Problem string    `json:"problem,omitempty"`
	Repair  string    `json:"repair,omitempty"` // what was done about it
	Lost    []TXIDs   `json:"lost,omitempty"`   // states that cannot be restored any more, as far as they are listed
	Damaged int       `json:"damaged,omitempty"`
	Gaps    int       `json:"gaps,omitempty"`
	Through ltx.TXID  `json:"through,omitempty"` // objects up to here have been read in this round
	Left    string    `json:"left,omitempty"`    // what was not looked at, and why
	Told    []string  `json:"told,omitempty"`    // gaps that a repair has told of
	Day     string    `json:"day,omitempty"`     // on which Spent was
	Spent   int64     `json:"spent_bytes,omitempty"`
}

// Proven says of a state that it was restored.
type Proven struct {
	TXID      ltx.TXID  `json:"txid"`
	Created   time.Time `json:"created"` // of the state
	At        time.Time `json:"at"`      // of the proof
	Digest    bool      `json:"digest"`  // the file has the digest that was shipped
	Checked   bool      `json:"checked"` // the user's check gave 1
	Bytes     int64     `json:"bytes"`   // of the database
	Objects   int       `json:"objects"`
	Read      int64     `json:"read_bytes"`
	Took      Duration  `json:"took"`
	Worker    string    `json:"worker"`    // host that restored it
	Elsewhere bool      `json:"elsewhere"` // which is another than the database's
}

// TXIDs is a run of TXIDs, both ends included.
type TXIDs struct {
	Min ltx.TXID `json:"min"`
	Max ltx.TXID `json:"max"`
}

// VerifyInput says what is to be verified.
type VerifyInput struct {
	Name        string   `json:"name"`
	Host        string   `json:"host"` // of the database
	Replica     string   `json:"replica"`
	Cheap       bool     `json:"cheap,omitempty"` // restore nothing
	Check       string   `json:"check,omitempty"` // SQL that must give 1
	CheckWithin Duration `json:"check_within,omitempty"`
	TXID        ltx.TXID `json:"txid,omitempty"`         // state to prove; 0 for the latest
	Since       ltx.TXID `json:"since,omitempty"`        // objects that end here or before are not read
	Reached     ltx.TXID `json:"reached,omitempty"`      // is known to have been put
	Budget      int64    `json:"budget_bytes,omitempty"` // that may be read; 0 for no limit
	Window      Duration `json:"window,omitempty"`       // by which the replica is maintained
	Level0      Duration `json:"level0,omitempty"`
}

// VerifyResult is what was found.
type VerifyResult struct {
	Worker    string  `json:"worker"`            // host that did it
	Elsewhere bool    `json:"elsewhere"`         // which is another than the database's
	Proven    *Proven `json:"proven,omitempty"`  // nil: not proven, for one of the reasons below
	Fault     *Fault  `json:"fault,omitempty"`   // why the state is not proven
	Skipped   string  `json:"skipped,omitempty"` // why it was not tried
	Survey    Survey  `json:"survey"`
	Mending   Mending `json:"mending,omitzero"` // what could be done about damage
	Read      int64   `json:"read_bytes"`       // by all of it
}

// Kinds of faults: whose they are.
const (
	FaultReplica  = "replica"
	FaultDatabase = "database"
	FaultCheck    = "check"
)

// Fault says why a state is not proven.
type Fault struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
}

// Survey is what was found in the objects of a replica.
type Survey struct {
	Objects   int             `json:"objects"`
	Bytes     int64           `json:"bytes"`
	Read      int             `json:"read"`
	ReadBytes int64           `json:"read_bytes"`
	Digested  int             `json:"digested"`
	Since     ltx.TXID        `json:"since,omitempty"`
	Through   ltx.TXID        `json:"through,omitempty"`
	Unread    int             `json:"unread,omitempty"`
	Unsize    int64           `json:"unread_bytes,omitempty"`
	Damaged   []DamagedObject `json:"damaged,omitempty"` // at most mostListed
	Damages   int             `json:"damages,omitempty"` // how many there are
	Gaps      []string        `json:"gaps,omitempty"`    // at most mostListed, in words
	GapCount  int             `json:"gap_count,omitempty"`
	Missing   ltx.TXID        `json:"missing,omitempty"` // had been put, and is gone with all that followed
	Oldest    ltx.TXID        `json:"oldest,omitempty"`  // first state that sound objects lead to
	OldestAt  time.Time       `json:"oldest_at,omitzero"`
	Newest    ltx.TXID        `json:"newest,omitempty"`
	NewestAt  time.Time       `json:"newest_at,omitzero"`
	States    int             `json:"states"`
}

// Sound tells whether nothing is wrong with what was looked at.
func (s Survey) Sound() bool { return s.Damages == 0 && s.GapCount == 0 && s.Missing == 0 }

// DamagedObject is one that is not what it should be.
type DamagedObject struct {
	Key     string `json:"key"`
	Why     string `json:"why"`
	Sum     string `json:"sum"`     // XXH3 of its bytes, 16 hex digits
	Certain bool   `json:"certain"` // else it contradicts another one
}

// RepairInput names what is damaged.
type RepairInput struct {
	Name    string          `json:"name"`
	Replica string          `json:"replica"`
	Damaged []DamagedObject `json:"damaged"`
	Alone   bool            `json:"alone,omitempty"` // the database cannot help
}

// Mending is what was done about damage, or could be.
type Mending struct {
	Aside    []string  `json:"aside,omitempty"` // objects that were set aside
	Later    []string  `json:"later,omitempty"` // that stay for now
	When     time.Time `json:"when,omitzero"`   // from when on they need not
	Merged   string    `json:"merged,omitempty"`
	Latest   ltx.TXID  `json:"latest,omitempty"`
	Newest   ltx.TXID  `json:"newest,omitempty"`
	Snapshot bool      `json:"snapshot,omitempty"` // a restore of the latest state fails all the same
	Lost     []TXIDs   `json:"lost,omitempty"`
	LostRuns int       `json:"lost_runs,omitempty"` // how many runs of them there are
}

// SnapshotInput asks the database for a snapshot of a later state than After.
type SnapshotInput struct {
	Name  string   `json:"name"`
	After ltx.TXID `json:"after"`
}

func listed[T any](all []T) []T { return all[:min(len(all), mostListed)] }

func provenOf(p verify.Proof, worker string, elsewhere bool) *Proven {
	return &Proven{
		TXID: p.TXID, Created: p.Created.UTC(), At: p.At, Digest: p.Digest, Checked: p.Checked, Bytes: p.Bytes,
		Objects: p.Objects, Read: p.Read, Took: Duration(p.Took.Round(time.Millisecond)), Worker: worker, Elsewhere: elsewhere,
	}
}

// SurveyOf is s as histories have it.
func SurveyOf(s verify.Survey) Survey {
	out := Survey{
		Objects: s.Objects, Bytes: s.Bytes, Read: s.Read, ReadBytes: s.ReadBytes, Digested: s.Digested,
		Since: s.Since, Through: s.Through, Unread: s.Unread, Unsize: s.UnreadSize,
		Damages: len(s.Damaged), GapCount: len(s.Gaps), Missing: s.Missing,
		Oldest: s.Oldest.TXID, OldestAt: s.Oldest.Created.UTC(), Newest: s.Newest.TXID, NewestAt: s.Newest.Created.UTC(), States: s.Points,
	}
	for _, d := range listed(s.Damaged) {
		out.Damaged = append(out.Damaged, DamagedObject{
			Key: d.Key, Why: d.Why, Sum: fmt.Sprintf("%016x", d.Sum), Certain: d.Certain,
		})
	}
	for _, g := range listed(s.Gaps) {
		out.Gaps = append(out.Gaps, verify.Describe(g))
	}
	return out
}

// damage reads back what SurveyOf wrote.
func (d DamagedObject) damage() (verify.Damage, error) {
	sum, err := strconv.ParseUint(d.Sum, 16, 64)
	if err != nil {
		return verify.Damage{}, fmt.Errorf("sum %q of %s: %w", d.Sum, d.Key, err)
	}
	return verify.Damage{Key: d.Key, Why: d.Why, Sum: sum, Certain: d.Certain}, nil
}

// MendingOf is m as histories have it.
func MendingOf(m verify.Mended) Mending {
	out := Mending{
		Aside: listed(m.Aside), Later: listed(m.Later), When: m.When.UTC(), Merged: m.Merged,
		Latest: m.Latest, Newest: m.Newest, Snapshot: m.Snapshot, LostRuns: len(m.Lost),
	}
	for _, r := range listed(m.Lost) {
		out.Lost = append(out.Lost, TXIDs{r.Min, r.Max})
	}
	return out
}

// Lines say what is remembered, for people.
func (v Verification) Lines() (lines []string) {
	if p := v.Proven; p != nil {
		where := "another worker, " + p.Worker
		if !p.Elsewhere {
			where = "its own host, " + p.Worker
		}
		lines = append(lines, fmt.Sprintf("proven restorable at TXID %s of %s, on %s by %s: %d bytes in %s%s",
			p.TXID, p.Created.Format(time.RFC3339), p.At.Format(time.RFC3339), where, p.Bytes, time.Duration(p.Took), p.How()))
	}
	add := func(what, text string) {
		if text != "" {
			lines = append(lines, what+": "+text)
		}
	}
	add("problem", v.Problem)
	add("repair", v.Repair)
	for _, r := range v.Lost {
		add("lost", fmt.Sprintf("states from TXID %s to %s", r.Min, r.Max))
	}
	add("not looked at", v.Left)
	return lines
}

// How says what the proof rests on beside the restore.
func (p Proven) How() string {
	how := ", integrity_check"
	if p.Digest {
		how = ", digest" + how
	}
	if p.Checked {
		how += ", own check"
	}
	return how
}
