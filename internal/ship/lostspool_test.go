package ship_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/replica"
)

// TestSpoolThatIsNotWhatItWas damages a spool in every way that a disk, or a
// person in need of space, may. What cannot be shipped is given up and taken
// from the database again; nothing else gets into the replica.
func TestSpoolThatIsNotWhatItWas(t *testing.T) {
	rows := []struct {
		name   string
		damage func(s *stand)
	}{
		{name: "a byte of a page is another", damage: func(s *stand) { s.editSpool("2", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }) }},
		{name: "a byte of the last file is another", damage: func(s *stand) { s.editSpool("4", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }) }},
		{name: "a byte of the header is another", damage: func(s *stand) { s.editSpool("2", func(b []byte) []byte { b[20] ^= 1; return b }) }},
		{name: "a file is cut short", damage: func(s *stand) { s.editSpool("3", func(b []byte) []byte { return b[:len(b)-100] }) }},
		{name: "a file is empty", damage: func(s *stand) { s.editSpool("2", func([]byte) []byte { return nil }) }},
		{name: "a file is longer", damage: func(s *stand) { s.editSpool("2", func(b []byte) []byte { return append(b, 0) }) }},
		{name: "a file has the content of the next", damage: func(s *stand) {
			s.editSpool("2", func([]byte) []byte { return mustRead(s.t, s.in("spool/0000000000000003.ltx")) })
		}},
		{name: "a file is of another spool", damage: func(s *stand) {
			other := newStand(s.t)
			other.insert(9)
			spoolOf3(other)
			s.editSpool("2", func([]byte) []byte { return mustRead(other.t, other.in("spool/0000000000000002.ltx")) })
		}},
		{name: "the first file is gone", damage: func(s *stand) { s.editSpool("2", nil) }},
		{name: "the file in the middle is gone", damage: func(s *stand) { s.editSpool("3", nil) }},
		{name: "the last file is gone", damage: func(s *stand) { s.editSpool("4", nil) }},
		{name: "all files are gone", damage: func(s *stand) { s.editSpool("2", nil); s.editSpool("3", nil); s.editSpool("4", nil) }},
	}
	for _, row := range rows {
		for _, how := range []string{"same process", "next process", "next process, after a restart of the log"} {
			t.Run(row.name+", "+how, func(t *testing.T) {
				s := newStand(t)
				spoolOf3(s)
				row.damage(s)
				if how != "same process" {
					s.kill()
				}
				if how == "next process, after a restart of the log" {
					s.exec("PRAGMA wal_checkpoint(TRUNCATE)")
				}
				s.insert(1)
				if _, err := s.ship.Pass(t.Context()); err != nil {
					t.Errorf("pass: %v", err)
				}
				mustVerify(t, s.opts.Replica)
				s.mustEqual()
				s.mustHaveEveryTXID()
			})
		}
	}
}

// editSpool changes a spool file, or removes it.
func (s *stand) editSpool(txid string, change func([]byte) []byte) {
	s.t.Helper()
	path := s.in("spool/000000000000000" + txid + ".ltx")
	var err error
	if change == nil {
		err = os.Remove(path)
	} else {
		err = os.WriteFile(path, change(mustRead(s.t, path)), 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// mustVerify reads all objects.
func mustVerify(t testing.TB, r *replica.Replica) {
	t.Helper()
	objects, err := r.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		reader, err := r.Open(t.Context(), o)
		if err == nil {
			err = reader.Pages(func(uint32, []byte) error { return nil })
			_ = reader.Close()
		}
		if err != nil {
			t.Errorf("the replica holds an object that does not verify: %v", err)
		}
	}
}

// TestAReplicaThatWasEmptiedBeforeTheSpoolWasShipped gives up what waits: it goes on
// from what is not there any more. The replica begins anew.
func TestAReplicaThatWasEmptiedBeforeTheSpoolWasShipped(t *testing.T) {
	for _, crash := range []bool{false, true} {
		t.Run(fmt.Sprint("after a crash ", crash), func(t *testing.T) {
			b := spooled(t)
			*b.store = moody{Store: mem.New()}
			if crash {
				b.crash()
			} else {
				b.ship.Forget()
			}
			if out := b.mustPass(); out.TXID != 1 || out.SpoolBytes != 0 {
				t.Errorf("got %+v, want TXID 1 and nothing spooled", out)
			}
			b.mustEqual()
		})
	}
}
