package replica_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/replica"
)

func TestListsWhatWasPut(t *testing.T) {
	r := replica.New(mem.New())
	var want []replica.Object
	want = append(want,
		mustPut(t, r, draft(1, 3), numbered(1, upTo(3)...)),
		mustPut(t, r, atFrame(2, 3, 1, 4), numbered(2, 2)),
		mustPut(t, r, draft(16, 3), numbered(3, 1)),
	)
	snapshot := draft(16, 3)
	snapshot.Level, snapshot.Min = 9, 1
	want = append(want, mustPut(t, r, snapshot, numbered(3, upTo(3)...)))

	all, err := r.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	assertObjects(t, all, want)
	level0, err := r.Objects(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	assertObjects(t, level0, want[:3])
	found, err := r.Find(t.Context(), 9, 1, 16)
	if err != nil {
		t.Fatal(err)
	}
	assertObjects(t, []replica.Object{found}, want[3:])
	if o := all[1]; o.Writer != writer || o.Format != 1 || o.Chain != [2]uint32{0x01020304, 0xa0b0c0d0} || o.Boot == "" || o.Size == 0 {
		t.Errorf("object %+v has lost its metadata", o)
	}
	if _, err := r.Find(t.Context(), 0, 3, 3); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("found what does not exist: %v", err)
	}
}

func TestPassesOverWhatIsNotAnObject(t *testing.T) {
	s := mem.New()
	for _, key := range []string{"ltx/0/notes.txt", "ltx/0/1-1.ltx", "generations/x/snapshots/1", "ltx/9/0000000000000002-0000000000000003.ltx"} {
		mustPutRaw(t, s, key, []byte("x"), nil)
	}
	all, err := replica.New(s).All(t.Context())
	if err != nil || len(all) != 0 {
		t.Errorf("got %v, %v; want nothing", all, err)
	}
}

// TestUnchanged puts objects on several levels, changes some behind our back, and asks
// for all of them.
func TestUnchanged(t *testing.T) {
	s := mem.New()
	r := replica.New(s)
	for _, txid := range []ltx.TXID{1, 2, 3, 0x100, 0x101, 0xfffff} {
		mustPut(t, r, draft(txid, 3), numbered(uint32(txid), upTo(3)...))
	}
	for _, level := range []int{1, 4, 8, 9} {
		d := draft(0x100, 3)
		d.Level, d.Min = level, 1
		mustPut(t, r, d, numbered(3, upTo(3)...))
	}
	all, err := r.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same, err := r.Unchanged(t.Context(), all...)
	if err != nil || !slices.Equal(same, all) {
		t.Fatalf("got %v, %v; want all %d", same, err, len(all))
	}
	gone, replaced := all[1], all[3]
	if err := r.Remove(t.Context(), gone, replaced); err != nil {
		t.Fatal(err)
	}
	mustPut(t, r, draft(0x100, 3), numbered(0x100, upTo(3)...)) // the same but for when
	same, err = r.Unchanged(t.Context(), all...)
	want := slices.DeleteFunc(slices.Clone(all), func(o replica.Object) bool { return o == gone || o == replaced })
	if err != nil || !slices.Equal(same, want) {
		t.Errorf("got %v, %v; want %v", same, err, want)
	}
}

func TestMetadata(t *testing.T) {
	const key = "ltx/0/0000000000000001-0000000000000001.ltx"
	stamp := "2026-03-01T12:00:01.5Z"
	want := epoch.Add(1500 * time.Millisecond)
	for _, tc := range []struct {
		name    string
		meta    blob.Metadata
		check   func(replica.Object) bool
		wantErr error
	}{
		{"of Litestream", blob.Metadata{"litestreamtimestamp": stamp},
			func(o replica.Object) bool { return o.Format == 0 && o.Writer == "" && o.Created.Equal(want) }, nil},
		{"none: the time is that of the blob", nil,
			func(o replica.Object) bool { return o.Format == 0 && time.Since(o.Created) < time.Minute }, nil},
		{"an unreadable time: that of the blob", blob.Metadata{"litestreamtimestamp": "noon"},
			func(o replica.Object) bool { return time.Since(o.Created) < time.Minute }, nil},
		{"another zone", blob.Metadata{"litestreamtimestamp": "2026-03-01T14:00:01.5+02:00"},
			func(o replica.Object) bool { return o.Created == want }, nil},
		{"keys in another case", blob.Metadata{"Litestreamtimestamp": stamp, "HoldfastFormat": "1", "Holdfastwriter": writer},
			func(o replica.Object) bool { return o.Format == 1 && o.Writer == writer && o.Created.Equal(want) }, nil},
		{"an unreadable chain: none", blob.Metadata{"holdfastformat": "1", "holdfastchain": "xyz"},
			func(o replica.Object) bool { return o.Format == 1 && o.Chain == [2]uint32{} }, nil},
		{"a newer format", blob.Metadata{"holdfastformat": "2"}, nil, replica.ErrNewerFormat},
		{"an unknown format", blob.Metadata{"holdfastformat": "x"}, nil, replica.ErrNewerFormat},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &metaStore{Store: mem.New(), meta: tc.meta}
			mustPutRaw(t, s, key, []byte("x"), nil)
			all, err := replica.New(s).All(t.Context())
			if !errors.Is(err, tc.wantErr) {
				t.Fatalf("error %v, want %v", err, tc.wantErr)
			}
			if err != nil {
				if !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), "use a newer holdfast") {
					t.Errorf("%q names neither the object nor what to do", err)
				}
				return
			}
			if len(all) != 1 || !tc.check(all[0]) {
				t.Errorf("got %+v", all)
			}
		})
	}
}

func assertObjects(t *testing.T, got, want []replica.Object) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d objects, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i].Stored.IsZero() {
			t.Errorf("object %d does not say when the store took it", i)
		}
		got[i].Stored = want[i].Stored // a put does not hear of it
		if got[i] != want[i] {
			t.Errorf("object %d is %+v, want %+v", i, got[i], want[i])
		}
	}
}
