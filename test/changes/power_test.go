package changes_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob/file"
	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
	"github.com/holdfast-db/holdfast/internal/wal"
)

// cutLog is a log as a loss of power may leave it.
type cutLog struct {
	now    []byte // as it was written
	before []byte // what the file held of the generation before
}

const frameSize = wal.FrameHeaderSize + 4096

// frame returns where frame n, counted from the last one, begins.
func (c cutLog) frame(n int) int { return len(c.now) - n*frameSize }

var losses = []struct {
	name string
	lose func(c cutLog) []byte
	want source.Rule // when the worker looks before anybody has written
	more source.Rule // when an application has written as much as was lost, and more
}{
	{name: "nothing", lose: func(c cutLog) []byte { return c.now }},
	{
		name: "the last frame", want: source.RuleShortLog, more: source.RuleChain,
		lose: func(c cutLog) []byte { return c.now[:c.frame(1)] },
	},
	{
		name: "half of a frame and all after it", want: source.RuleShortLog, more: source.RuleChain,
		lose: func(c cutLog) []byte { return c.now[:c.frame(3)+frameSize/2] },
	},
	{
		name: "the content of a frame in the middle", want: source.RuleShortLog, more: source.RuleChain,
		lose: func(c cutLog) []byte {
			clear(c.now[c.frame(4):c.frame(3)])
			return c.now
		},
	},
	{
		name: "a frame in the middle, which is what the generation before had there", want: source.RuleShortLog, more: source.RuleChain,
		lose: func(c cutLog) []byte {
			copy(c.now[c.frame(4):c.frame(3)], c.before[c.frame(4):])
			return c.now
		},
	},
	{
		name: "half of a sector of a frame's page", want: source.RuleShortLog, more: source.RuleChain,
		lose: func(c cutLog) []byte {
			copy(c.now[c.frame(3)+600:c.frame(3)+856], c.before[c.frame(3)+600:])
			return c.now
		},
	},
	{
		name: "all of the generation", want: source.RuleRestarted, more: source.RuleRestarted,
		lose: func(c cutLog) []byte { return c.before },
	},
	{
		name: "all frames", want: source.RuleNoLog, more: source.RuleRestarted,
		lose: func(c cutLog) []byte { return c.now[:wal.HeaderSize] },
	},
}

// TestPowerLoss cuts worker and application off without a word, lets the log lose
// what synchronous=NORMAL may lose, and starts both on a machine that has been
// started anew. Commits that were shipped are lost to the source: the replica
// must be what SQLite makes of the rest.
func TestPowerLoss(t *testing.T) {
	for _, loss := range losses {
		for _, written := range []bool{false, true} {
			name, want := loss.name+", met by the worker", loss.want
			if written {
				name, want = loss.name+", met after new writes", loss.more
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				disk, store := t.TempDir(), t.TempDir()
				path := filepath.Join(disk, "app.db")
				states := mustLosePower(t, path, store, loss.lose)
				r := mustReplicateTo(t, path, file.New(store))
				r.states = states
				if !written {
					r.mark(t)
				}
				app := startOlder(t, path)
				for range 6 {
					run(t, app, "INSERT INTO t(v) VALUES (randomblob(9000))")
				}
				r.mark(t)
				run(t, app, "DELETE FROM t WHERE id % 2 = 0")
				if want == "" {
					r.check(t)
				} else {
					r.check(t, want)
				}
			})
		}
	}
}

// mustLosePower replicates a database at path into store in other processes,
// kills them, and lets the log lose something. It returns what was shipped.
func mustLosePower(t *testing.T, path, store string, lose func(cutLog) []byte) map[ltx.TXID][]byte {
	t.Helper()
	app := startOlder(t, path)
	run(t, app, "PRAGMA synchronous=NORMAL", "CREATE TABLE t(id INTEGER PRIMARY KEY, v)", fill)
	w := startWorker(t, path, store)
	states := make(map[ltx.TXID][]byte)
	mark := func() {
		res := w.pass(t)
		states[res.TXID] = sqlitetest.Truth(t, path)
	}
	mark()
	checkpoint(t, app, "PASSIVE")
	mark() // hands the lock over, so that the next write restarts the log
	before := mustCopyOf(t, path+"-wal")
	for range 4 {
		run(t, app, "INSERT INTO t(v) VALUES (randomblob(9000))")
		mark()
	}
	app.Kill()
	w.Kill()
	log, err := os.ReadFile(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	h, frames := mustGeneration(t, path+"-wal")
	if old, _ := mustGeneration(t, before); h.Salts == old.Salts {
		t.Fatal("the log was not restarted")
	}
	older, err := os.ReadFile(before)
	if err != nil {
		t.Fatal(err)
	}
	cut := lose(cutLog{now: log[:wal.FrameOffset(frames+1, h.PageSize)], before: older})
	if err := os.WriteFile(path+"-wal", cut, 0o600); err != nil {
		t.Fatal(err)
	}
	mustReboot(t, filepath.Dir(path), store)
	return states
}

func mustCopyOf(t *testing.T, path string) string {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "copy")
	shell(t, "cp %s %s", path, copied)
	return copied
}

// mustGeneration returns the header of the log at path and the number of frames
// that belong to it.
func mustGeneration(t *testing.T, path string) (wal.Header, uint32) {
	t.Helper()
	f := mustReader(t, path)
	h, err := wal.ReadHeader(f)
	if err != nil {
		t.Fatal(err)
	}
	for n := uint32(1); ; n++ {
		frame, whole, err := wal.ReadFrame(f, n, h.PageSize)
		if err != nil {
			t.Fatal(err)
		}
		if !whole || frame.Salts != h.Salts {
			return h, n - 1
		}
	}
}

// mustReboot makes what was written on this boot of the machine look as if it was
// written on an earlier one.
func mustReboot(t *testing.T, dirs ...string) {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	now := strings.TrimSpace(string(b))
	earlier := strings.Map(func(r rune) rune {
		if r == '-' {
			return r
		}
		return '0'
	}, now)
	all := strings.Join(dirs, " ")
	shell(t, "grep -rlF %s %s | xargs sed -i s/%s/%s/g; ! grep -rqF %s %s", now, all, now, earlier, now, all)
}

func mustReader(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}
