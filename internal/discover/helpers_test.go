package discover_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/config"
	"github.com/holdfast-db/holdfast/internal/discover"
	"github.com/holdfast-db/holdfast/internal/source"
)

// header begins a database with a log.
var header = "SQLite format 3\x00\x10\x00\x02\x02" + strings.Repeat("\x00", 80)

// rollback begins a database without one.
var rollback = "SQLite format 3\x00\x10\x00\x01\x01" + strings.Repeat("\x00", 80)

func mustWrite(t testing.TB, dir, rel, content string) string {
	t.Helper()
	path := filepath.Join(dir, rel)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustDo(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// mustID identifies a file.
func mustID(t testing.TB, path string) source.FileID {
	t.Helper()
	id, err := source.Identify(path)
	mustDo(t, err)
	return id
}

// scanning is a Scanner that counts what it asks, an hour after all was written.
type scanning struct {
	*discover.Scanner
	t     testing.TB
	asked map[string]int
}

func newScanning(t testing.TB, dirs ...config.Directory) *scanning {
	s := &scanning{t: t, asked: map[string]int{}}
	s.Scanner = discover.NewScanner(dirs, func(path string) error {
		s.asked[filepath.Base(path)]++
		return source.Probe(path)
	})
	s.Now = func() time.Time { return time.Now().Add(time.Hour) }
	return s
}

// scan looks at everything and returns what was found, below the entries.
func (s *scanning) scan() []string {
	s.t.Helper()
	s.Scan(s.t.Context())
	return s.rels()
}

func (s *scanning) rels() []string {
	var rels []string
	for _, f := range s.Files() {
		rels = append(rels, f.Rel)
	}
	return rels
}

func (s *scanning) mustFind(got []string, want ...string) {
	s.t.Helper()
	if !slices.Equal(got, want) {
		s.t.Errorf("found %q, want %q", got, want)
	}
}

func entry(dir, pattern string) config.Directory {
	return config.Directory{Dir: dir, Pattern: pattern, Recursive: true, Name: "{host}/{path}"}
}
