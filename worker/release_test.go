package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/config"
	"github.com/holdfast-db/holdfast/workflows/control"
)

func TestReleases(t *testing.T) {
	remove := func(d *desk) { d.must(os.Remove(filepath.Join(d.dir, "a.db"))) }
	for _, row := range []struct {
		name     string
		do       func(d *desk)
		released bool // it is stopped
		kept     bool // it is on the record still
		says     string
	}{
		{name: "one whose file is gone", do: remove, released: true,
			says: "released, as its file is gone; its replica stays db=web-1/a"},
		{name: "one whose directory is gone", released: true,
			do: func(d *desk) { d.must(os.RemoveAll(d.dir + "/eu")); d.write("a.db") }, kept: true},
		{name: "none before the grace is over", do: func(d *desk) { remove(d); d.Discovery.Grace = time.Hour }, kept: true,
			says: "discovered database missing; it is released if it stays so db=web-1/a"},
		{name: "none whose file is there", do: func(d *desk) { d.must(os.WriteFile(d.dir+"/a.db", []byte("a text"), 0o600)) }, kept: true},
		{name: "none whose file was replaced by a link", do: func(d *desk) { remove(d); d.must(os.Symlink("eu/b.db", d.dir+"/a.db")) }, kept: true},
		{name: "none of a directory that is away", do: func(d *desk) { d.must(os.Rename(d.dir, d.dir+".away")) }, kept: true,
			says: "directory not looked through; its databases stay as they are"},
		{name: "none of a directory of which another was left behind", kept: true,
			do:   func(d *desk) { d.must(os.Rename(d.dir, d.dir+".away")); d.must(os.Mkdir(d.dir, 0o700)) },
			says: "databases not released, as the file system that they were on is not there path="},
		{name: "none that is paused", do: func(d *desk) { remove(d); d.change(func(s *control.Status) { s.Paused = true }) }, kept: true,
			says: "not released, though its file is gone db=web-1/a"},
		{name: "none that has moved to another host", do: func(d *desk) { remove(d); d.change(func(s *control.Status) { s.Host = "web-2" }) },
			says: "its name belongs to another file by now"},
		{name: "none that has another path", do: func(d *desk) { remove(d); d.change(func(s *control.Status) { s.Path = "/other.db" }) },
			says: "its name belongs to another file by now"},
		{name: "none of which nobody answers", do: func(d *desk) { remove(d); d.change(func(s *control.Status) { s.Answering = false }) }, kept: true,
			says: "no worker answers"},
		{name: "none while the service is away", do: func(d *desk) { remove(d); d.answer = errors.New("unavailable") }, kept: true, says: "unavailable"},
		{name: "none that somebody has stopped", do: func(d *desk) { remove(d); d.answer = control.ErrNotRegistered }},
		{name: "none of a directory that is not configured any more", kept: true, do: func(d *desk) {
			remove(d)
			s := d.settings
			s.Directories = []config.Directory{{Dir: t.TempDir(), Pattern: "*", Name: "{path}"}}
			d.settle(s)
		}},
		{name: "none that the pattern does not match any more", kept: true, do: func(d *desk) {
			remove(d)
			d.Directories[0].Pattern = "b*"
		}},
		{name: "none that is listed by now", do: func(d *desk) {
			remove(d)
			d.Databases = []config.Database{{Path: d.dir + "/a.db", Name: "web-1/a"}}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := newDesk(t)
			d.rescan()
			row.do(d)
			d.rescan()
			d.rescan()
			d.rescan()
			if got := len(d.stopped) > 0; got != row.released {
				t.Errorf("stopped %q, want one: %v", d.stopped, row.released)
			}
			if _, kept := d.record.Entry(d.dir + "/a.db"); kept != row.kept {
				t.Errorf("on the record: %v, want %v", kept, row.kept)
			}
			if row.says != "" {
				d.mustSay(row.says, 1)
			} else {
				d.mustSay("WARN", 0)
			}
		})
	}
}

// change changes what the workflow of web-1/a answers.
func (d *desk) change(f func(*control.Status)) {
	s := d.status["web-1/a"]
	f(&s)
	d.status["web-1/a"] = s
}

func TestAStopThatFailsIsTriedAgain(t *testing.T) {
	d := newDesk(t)
	d.rescan()
	d.must(os.Remove(d.dir + "/a.db"))
	d.refusing = control.ErrNoAnswer
	d.rescan()
	d.rescan()
	d.refusing = nil
	d.rescan()
	d.mustHave("stopped", d.stopped, "web-1/a", "web-1/a", "web-1/a")
	d.mustSay("not released, though its file is gone", 1)
	d.mustSay("released, as its file is gone", 1)
	d.rescan()
	d.mustHave("stopped", d.stopped, "web-1/a", "web-1/a", "web-1/a")
}

// TestAGraceBeginsAnewWhenTheFileWasBack removes a file twice.
func TestAGraceBeginsAnewWhenTheFileWasBack(t *testing.T) {
	d := newDesk(t)
	d.rescan()
	d.Discovery.Grace = time.Hour
	path := filepath.Join(d.dir, "a.db")
	d.must(os.Remove(path))
	d.rescan()
	d.missing[path] = time.Now().Add(-2 * time.Hour)
	d.write("a.db")
	d.rescan()
	d.must(os.Remove(path))
	d.rescan()
	d.mustHave("stopped", d.stopped)
	d.mustHave("wanted", d.names(), "web-1/a", "web-1/eu/b", "web-1/a")
	d.missing[path] = time.Now().Add(-2 * time.Hour)
	d.rescan()
	d.mustHave("stopped", d.stopped, "web-1/a")
}

// TestAGraceBeginsAnewWhenTheDiskWasAway takes the directory away after a file was
// missed in it.
func TestAGraceBeginsAnewWhenTheDiskWasAway(t *testing.T) {
	d := newDesk(t)
	d.rescan()
	d.Discovery.Grace = time.Hour
	path := filepath.Join(d.dir, "a.db")
	d.must(os.Remove(path))
	d.rescan()
	d.missing[path] = time.Now().Add(-2 * time.Hour)
	d.must(os.Rename(d.dir, d.dir+".away"))
	d.rescan()
	d.must(os.Rename(d.dir+".away", d.dir))
	d.rescan()
	d.mustHave("stopped", d.stopped)
	d.mustSay("discovered database missing", 2)
}

// TestAFileThatComesBackDuringItsReleaseIsRegisteredAgain has it found, and registered
// once more, just before its workflow ends.
func TestAFileThatComesBackDuringItsReleaseIsRegisteredAgain(t *testing.T) {
	d := newDesk(t)
	d.rescan()
	d.must(os.Remove(filepath.Join(d.dir, "a.db")))
	d.scan(t.Context())
	tried := <-d.released
	d.write("a.db")
	d.scan(t.Context())
	d.settleReleases(tried)
	d.mustHave("stopped", d.stopped, "web-1/a")
	d.mustHave("wanted", d.names(), "web-1/a", "web-1/eu/b", "web-1/a", "web-1/a")
	d.mustHave("on record", d.record.Paths(), d.dir+"/a.db", d.dir+"/eu/b.db")
}

// TestAFileThatIsBackIsNotReleased looks again just before the workflow is ended.
func TestAFileThatIsBackIsNotReleased(t *testing.T) {
	d := newDesk(t)
	d.rescan()
	path := filepath.Join(d.dir, "a.db")
	e, _ := d.record.Entry(path)
	r := release{path: path, entry: e, dir: d.Directories[0]}
	if err := d.release(t.Context(), r); !errors.Is(err, errBack) || len(d.stopped) > 0 {
		t.Errorf("got %v, and %q stopped; want %v and none", err, d.stopped, errBack)
	}
}

// TestTheNextProcessReleases what was gone before it began.
func TestTheNextProcessReleases(t *testing.T) {
	d := newDesk(t)
	d.rescan()
	d.must(os.Remove(filepath.Join(d.dir, "a.db")))
	d.settle(d.settings)
	d.rescan()
	d.mustHave("stopped", d.stopped, "web-1/a")
}
