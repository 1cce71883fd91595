package replica

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/digest"
	"github.com/holdfast-db/holdfast/internal/plan"
	"github.com/holdfast-db/holdfast/internal/wal"
)

// Draft describes an object that is about to be written.
type Draft struct {
	Level    int
	Min, Max ltx.TXID
	Created  time.Time    // of the newest content; cut to whole milliseconds
	Position wal.Position // what the replica holds once the object is there
	From     int64        // offset in the log where the object's frames begin; unused when Position.Frame is 0
	Writer   string       // 32 hex digits; may be empty above level 0, of a merge of objects that name none
	Instance string       `json:",omitempty"` // of the writer: tells processes apart

	// Digest of the whole database after the object. Where it is known only when
	// all pages were emitted, Late is asked for it then.
	Digest digest.Digest        `json:",omitzero"`
	Late   func() digest.Digest `json:"-"`

	// Pages are the numbers of the pages, as a PageList has them, where they are known
	// beforehand; Put finds them itself. Empty says nothing of them.
	Pages string `json:",omitempty"`

	// SpillDir is a directory for the page index of an object with more than a
	// million pages, 13 bytes or so each. Empty keeps the index in memory, at
	// 24 bytes a page.
	SpillDir string
}

// Describe returns the object that d becomes, but for its size.
func Describe(d Draft) Object { return d.object() }

func (d Draft) object() Object {
	return Object{
		File:   plan.File{Level: d.Level, Min: d.Min, Max: d.Max, Created: d.created()},
		Format: Format,
		Writer: d.Writer,
		Chain:  d.Position.Chain,
		Boot:   d.Position.Boot,
		Digest: d.Digest,
		Pages:  d.Pages,

		Instance: d.Instance,
	}
}

func (d Draft) created() time.Time { return d.Created.UTC().Truncate(time.Millisecond) }

// header returns the LTX header. It carries no checksum of the database, as
// Litestream refuses to restore objects that do.
func (d Draft) header() ltx.Header {
	h := ltx.Header{
		Version:   ltx.Version,
		Flags:     ltx.HeaderFlagNoChecksum,
		PageSize:  d.Position.PageSize,
		Commit:    d.Position.Commit,
		MinTXID:   d.Min,
		MaxTXID:   d.Max,
		Timestamp: d.created().UnixMilli(),
	}
	if d.Position.Frame > 0 {
		h.WALOffset = d.From
		h.WALSize = d.Position.Offset() - d.From
		h.WALSalt1, h.WALSalt2 = d.Position.Salts[0], d.Position.Salts[1]
	}
	return h
}

// validate finds what would make an object that no reader accepts.
func (d Draft) validate() error {
	if err := d.check(); err != nil {
		return fmt.Errorf("draft of %s: %w", Key(d.Level, d.Min, d.Max), err)
	}
	return nil
}

func (d Draft) check() error {
	if _, _, _, err := ParseKey(Key(d.Level, d.Min, d.Max)); err != nil {
		return err
	}
	if d.Level == 0 && d.Min != d.Max {
		return errors.New("an object of level 0 has one TXID")
	}
	if d.Created.IsZero() {
		return errors.New("no time")
	}
	if id, err := hex.DecodeString(d.Writer); (err != nil || len(id) != 16) && (d.Level == 0 || d.Writer != "") {
		return fmt.Errorf("writer %q: want 32 hex digits", d.Writer)
	}
	if d.Position.Commit == 0 {
		return errors.New("a database of no pages")
	}
	if d.Position.Frame > 0 && d.From < wal.HeaderSize {
		return fmt.Errorf("frames begin at offset %d, inside the header of the log", d.From)
	}
	h := d.header()
	return h.Validate()
}
