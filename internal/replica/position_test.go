package replica_test

import (
	"errors"
	"testing"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/wal"
)

func TestPositionComesBackAsItWasPut(t *testing.T) {
	s := newCountingStore()
	r := replica.New(s)
	atEnd := atFrame(4, 3, 10, 9) // all pages, of which none had to be read from the log
	for _, d := range []replica.Draft{draft(1, 3), atFrame(2, 3, 1, 1), atFrame(3, 3, 2, 9), atEnd} {
		o := mustPut(t, r, d, numbered(1, upTo(3)...))
		found, err := r.Find(t.Context(), 0, o.Max, o.Max)
		if err != nil {
			t.Fatal(err)
		}
		s.reset()
		got, err := r.Position(t.Context(), found)
		if err != nil || got != d.Position {
			t.Errorf("got %+v, %v; want %+v", got, err, d.Position)
		}
		if s.gets != 1 || len(s.stats)+s.lists > 0 {
			t.Errorf("%d gets, %d stats, %d lists; want one get", s.gets, len(s.stats), s.lists)
		}
	}
}

func TestPositionOfAnObjectOfLitestream(t *testing.T) {
	s := newCountingStore()
	data := mustEncode(t, atFrame(2, 3, 1, 4), numbered(1, 2))
	mustPutRaw(t, s, replica.Key(0, 2, 2), data, blob.Metadata{blob.TimestampKey: "2026-03-01T12:00:00Z"})
	r := replica.New(s)
	o, err := r.Head(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	want := wal.Position{PageSize: pageSize, Commit: 3}
	if got, err := r.Position(t.Context(), o); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

func TestPositionOfADamagedHeader(t *testing.T) {
	good := mustEncode(t, atFrame(2, 3, 1, 4), numbered(1, 2))
	uneven := ltx.Header{
		Flags: ltx.HeaderFlagNoChecksum, PageSize: pageSize, Commit: 3, MinTXID: 2, MaxTXID: 2,
		WALOffset: 32, WALSize: 3*(24+pageSize) + 1, WALSalt1: 1, WALSalt2: 2,
	}
	for _, tc := range []struct {
		name string
		data []byte
	}{
		{"cut short", good[:99]},
		{"empty", nil},
		{"zeros", make([]byte, 200)},
		{"not a whole number of frames", newCrafter(t, uneven).finish(nil)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newCountingStore()
			mustPutRaw(t, s, replica.Key(0, 2, 2), tc.data, blob.Metadata{"holdfastformat": "1"})
			r := replica.New(s)
			o, err := r.Find(t.Context(), 0, 2, 2)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Position(t.Context(), o); !errors.Is(err, replica.ErrDamaged) {
				t.Errorf("error %v, want %v", err, replica.ErrDamaged)
			}
		})
	}
}
