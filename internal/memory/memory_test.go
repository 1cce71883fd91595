package memory_test

import (
	"database/sql"
	"os"
	"strconv"
	"strings"
	"testing"

	_ "github.com/mattn/go-sqlite3"

	"github.com/holdfast-db/holdfast/internal/memory"
)

// resident returns how many bytes of this process alone are in memory.
func resident(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "RssAnon:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// filled returns a database that takes so many bytes of memory.
func filled(t *testing.T, bytes int) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite3", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.Exec("CREATE TABLE t(b); INSERT INTO t VALUES (zeroblob(?))", bytes); err != nil {
		t.Fatal(err)
	}
	return db
}

var garbage [][]byte

func TestWhatIsNotInUseIsGivenBack(t *testing.T) {
	const of = 48 << 20
	first := filled(t, of)
	filled(t, 1<<20) // behind the first, and in use
	for range of / 4096 {
		garbage = append(garbage, []byte(strings.Repeat("x", 4096)))
	}
	full := resident(t)
	garbage = nil
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	memory.Release()
	if back := full - resident(t); back < 2*of*9/10 {
		t.Errorf("%d MiB were given back, want about %d", back>>20, 2*of>>20)
	}
}
