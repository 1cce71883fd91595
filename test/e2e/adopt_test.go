package e2e_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// forgotten copies the replica of one database to another, without what names its writer:
// as one looks that Litestream has written.
func (s *site) forgotten(from, to string) {
	s.t.Helper()
	source, target := s.storeOf(from), s.storeOf(to)
	for info, err := range source.List(s.t.Context(), "") {
		if err != nil {
			s.t.Fatal(err)
		}
		body, err := source.Get(s.t.Context(), info.Key, 0, -1)
		if err != nil {
			s.t.Fatal(err)
		}
		meta := blob.Metadata{blob.TimestampKey: info.Metadata[blob.TimestampKey]}
		if _, err := target.Put(s.t.Context(), info.Key, body, meta); err != nil {
			s.t.Fatal(err)
		}
		_ = body.Close()
	}
}

// TestRegisterAdopts a replica that names no writer, when it is told to and not before.
func TestRegisterAdopts(t *testing.T) {
	s := newSite(t, "", "")
	s.worker()
	path := database(t)
	app := sqlitetest.StartShell(t, path)
	register := func(name string, flags ...string) []string {
		return append([]string{"register", path, "--name", name, "--host", s.host, "--config", s.config}, flags...)
	}
	s.run(register("first")...)
	app.Run(t, "INSERT INTO t VALUES (1);")
	s.run("sync", "first")
	s.run("stop", "first")
	s.forgotten("first", "second")
	before, err := s.replicaOf("second").Head(t.Context(), 0)
	if err != nil || before.Writer != "" {
		t.Fatalf("the head is %+v, %v", before, err)
	}
	mustRefuse(t, s.try(register("second")...), 1, "that name no writer", "register with --adopt")
	app.Run(t, "INSERT INTO t VALUES (2);")
	s.run(register("second", "--adopt")...)
	app.Run(t, "INSERT INTO t VALUES (3);")
	s.run("sync", "second")
	s.run("stop", "second")
	adopted, err := s.replicaOf("second").Find(t.Context(), 0, before.Max+1, before.Max+1)
	if err != nil || adopted.Writer == "" {
		t.Errorf("what follows the head is %+v, %v", adopted, err)
	}
	out := filepath.Join(s.dir, "out.db")
	s.run("restore", s.replicaURL("second"), "-o", out)
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, sqlitetest.Truth(t, path)) {
		t.Errorf("it restores to another state, or %v", err)
	}
}
