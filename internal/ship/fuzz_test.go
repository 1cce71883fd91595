package ship_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/blob/faulty"
	"github.com/holdfast-db/holdfast/internal/blob/mem"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/source"
	"github.com/holdfast-db/holdfast/internal/sqlitetest"
)

// outageImage is what a process leaves that dies during an outage, with three
// files in its spool: the database, the state directory and the replica.
type outageImage struct {
	files   map[string][]byte // by path below the database's directory
	objects map[string]object
	live    []byte // the database as its application saw it
}

type object struct {
	data []byte
	meta blob.Metadata
}

func mustOutageImage(t testing.TB) outageImage {
	t.Helper()
	s := newStand(t)
	for name := range s.foreign {
		if err := os.Remove(s.in(name)); err != nil {
			t.Fatal(err)
		}
	}
	spoolOf3(s)
	s.insert(1)
	img := outageImage{files: make(map[string][]byte), objects: make(map[string]object), live: sqlitetest.Live(t, s.app)}
	state := filepath.Base(filepath.Dir(s.in("lock")))
	for _, name := range []string{"app.db", "app.db-wal", state + "/state.json", state + "/digests", state + "/spool/0000000000000002.ltx", state + "/spool/0000000000000003.ltx", state + "/spool/0000000000000004.ltx"} {
		img.files[name] = mustRead(t, filepath.Join(filepath.Dir(s.path), name))
	}
	for info, err := range s.store.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		body, err := s.store.Get(t.Context(), info.Key, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(body); err != nil {
			t.Fatal(err)
		}
		img.objects[info.Key] = object{b.Bytes(), info.Metadata}
	}
	return img
}

// mustBench lays img out anew. Nothing is open yet.
func (img outageImage) mustBench(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	for name, content := range img.files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	store := mem.New()
	for key, o := range img.objects {
		if _, err := store.Put(t.Context(), key, bytes.NewReader(o.data), o.meta); err != nil {
			t.Fatal(err)
		}
	}
	return &bench{t: t, path: filepath.Join(dir, "app.db"), fs: ship.OS, store: &moody{Store: store}}
}

// ours are the names in a state directory that are not to be used by others.
var ours = regexp.MustCompile(`^(lock|state\.json|state\.json\.tmp|token|token\.tmp|digests|spool|spool/[0-9a-f]{16}\.ltx|spool/[0-9a-f]{16}\.[0-9a-f]{8}\.tmp)$`)

// plantAny puts something at name in the state directory: a file, a directory, or
// a link to victim. It is false if no file system has such a name.
func (b *bench) plantAny(dir, name string, content []byte, kind uint8, victim string) bool {
	path := filepath.Join(dir, name)
	if strings.ContainsAny(strings.TrimPrefix(name, "spool/"), "/\x00") || filepath.Dir(path)+"/"+filepath.Base(path) != dir+"/"+name {
		return false
	}
	if kind%3 != 0 || ours.MatchString(name) {
		if err := os.RemoveAll(path); err != nil {
			return false
		}
	}
	switch kind % 3 {
	case 1:
		return os.Mkdir(path, 0o700) == nil
	case 2:
		return os.Symlink(victim, path) == nil
	}
	return os.WriteFile(path, content, 0o600) == nil
}

// edit changes bytes of b: each three of edits are a place and what is added there.
func edit(b, edits []byte) []byte {
	b = bytes.Clone(b)
	for ; len(edits) >= 3 && len(b) > 0; edits = edits[3:] {
		b[(int(edits[0])<<8|int(edits[1]))*37%len(b)] += edits[2]
	}
	return b
}

// FuzzStateDirectory lets a process find a state directory with anything in it. It
// never panics and never ends in a loop, removes and changes no file that is not
// its own, follows no link, and ships nothing that does not verify. If it says
// that all is well, the replica restores to what the source is.
func FuzzStateDirectory(f *testing.F) {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		f.Setenv("TMPDIR", "/dev/shm")
	}
	f.Add([]byte{}, []byte{}, uint8(0), []byte{}, "notes.txt", []byte("x"), uint8(0))
	f.Add([]byte("{"), []byte{}, uint8(0), []byte{}, "spool/00000000000000ff.ltx", []byte("x"), uint8(0))
	f.Add([]byte(`{"name":"app","replica":"mem:","writer":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","txid":"ffffffffffffffff","spool":[{"Level":0,"Min":"0000000000000003","Max":"0000000000000003"}]}`),
		[]byte{}, uint8(1), []byte{}, "spool/0000000000000002.0badcafe.tmp", []byte{}, uint8(2))
	f.Add([]byte(`{"replica":"mem:","writer":"?","spool":[{"Max":"0000000000000002"},{"Max":"0000000000000004"}]}`), []byte{}, uint8(0), []byte{}, "token", []byte("{}"), uint8(1))
	f.Add([]byte{}, []byte{0, 9, 1}, uint8(2), []byte{0, 4, 1, 9, 9, 200}, "state.json.tmp", []byte("{}"), uint8(2))
	f.Add([]byte{}, []byte{}, uint8(0), []byte{}, "spool/notes.tmp", []byte("x"), uint8(0))
	f.Add([]byte{}, []byte{}, uint8(0), []byte{}, "spool/0000000000000002.0badcafe.tmp~", []byte("x"), uint8(1))
	f.Add([]byte{}, []byte{}, uint8(0), []byte{0, 0, 1}, "digests", []byte("nonsense"), uint8(0))
	f.Add([]byte{}, []byte{}, uint8(1), []byte{}, "spool/0000000000000003.ltx", []byte("nonsense"), uint8(2))
	img := mustOutageImage(f)
	f.Fuzz(func(t *testing.T, state, stateEdits []byte, spooled uint8, spoolEdits []byte, name string, content []byte, kind uint8) {
		b := img.mustBench(t)
		dir := filepath.Join(filepath.Dir(b.path), ".app.db-holdfast")
		stateFile := filepath.Join(dir, "state.json")
		if len(state) == 0 {
			state = edit(mustRead(t, stateFile), stateEdits)
		}
		entry := filepath.Join(dir, "spool", []string{"0000000000000002.ltx", "0000000000000003.ltx", "0000000000000004.ltx"}[spooled%3])
		victim := filepath.Join(filepath.Dir(b.path), "victim")
		if err := errors.Join(os.WriteFile(stateFile, state, 0o600), os.WriteFile(entry, edit(mustRead(t, entry), spoolEdits), 0o600), os.WriteFile(victim, []byte("unhurt"), 0o600)); err != nil {
			t.Fatal(err)
		}
		if !b.plantAny(dir, name, content, kind, victim) {
			return
		}
		err := b.useOnce(t)
		if err == nil {
			got, size := b.restored()
			sqlitetest.Same(t, got, img.live, size)
		}
		mustVerify(t, b.opts.Replica)
		if got := mustRead(t, victim); string(got) != "unhurt" {
			t.Errorf("what a link names holds %q now", got)
		}
		if ours.MatchString(name) {
			return
		}
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil || info.IsDir() != (kind%3 == 1) {
			t.Fatalf("%q is not ours and was touched: %v", name, err)
		}
		if kind%3 == 0 && !bytes.Equal(mustRead(t, filepath.Join(dir, name)), content) {
			t.Errorf("%q is not ours and has other content", name)
		}
	})
}

// useOnce lives the life of a process: a pass, a clean-up, another pass, the end.
func (b *bench) useOnce(t *testing.T) (err error) {
	t.Helper()
	blobs := faulty.New(b.store)
	blobs.Set(func(c faulty.Call) faulty.Fault {
		if c.Number < 2000 {
			return faulty.Fault{}
		}
		t.Error("it does not come to an end")
		return faulty.Fault{Kind: faulty.Refuse}
	})
	b.opts = newOptions(blobs)
	if b.dir, err = ship.OpenDir(filepath.Join(filepath.Dir(b.path), ".app.db-holdfast"), b.fs); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.dir.Close()) }()
	if b.ship, err = ship.New(b.opts, b.dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.ship.Close()) }()
	if b.db, err = source.Open(b.path, b.opts.Log); err != nil {
		t.Fatal(err)
	}
	defer func() { err = errors.Join(err, b.db.Abandon()) }()
	b.ship.Attach(b.db)
	_, first := b.ship.Pass(t.Context())
	_, cleaning := b.ship.CleanUp(t.Context(), false)
	_, second := b.ship.Pass(t.Context())
	if first == nil && second != nil {
		t.Errorf("a pass went well, the next did not: %v", second)
	}
	return errors.Join(first, cleaning, second, b.ship.Save())
}
