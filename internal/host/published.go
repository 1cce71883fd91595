package host

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast-db/holdfast/internal/restore"
	"github.com/holdfast-db/holdfast/internal/ship"
	"github.com/holdfast-db/holdfast/internal/source"
)

// note is what is written down of a restored file before it gets its name: a file
// stays the same when it is renamed, so that a later attempt can tell its own
// result, also when its application has written into it since, from any other file.
type note struct {
	ID     string         `json:"id"`
	File   source.FileID  `json:"file"`
	Result restore.Result `json:"result"`
}

// notesKept is how long notes are kept: longer than a restore may be tried.
const notesKept = 30 * 24 * time.Hour

func (h *Host) notes() string { return filepath.Join(h.opts.StateDir, "restores") }

func (h *Host) noteName(id string) string {
	return filepath.Join(h.notes(), fmt.Sprintf("%x.json", sha256.Sum256([]byte(id))))
}

// note writes down that file is what r comes to.
func (h *Host) note(r Restoring, file string, res restore.Result) error {
	id, err := source.Identify(file)
	if err != nil {
		return err
	}
	b, err := json.Marshal(note{ID: r.ID, File: id, Result: res})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(h.notes(), 0o700); err != nil {
		return fmt.Errorf("make the state directory: %w", err)
	}
	h.removeOldNotes()
	return ship.WriteFile(h.opts.FS, h.noteName(r.ID), b)
}

// published returns what an earlier attempt at r came to, if the file at place is
// its result.
func (h *Host) published(r Restoring, place string) (restore.Result, bool) {
	b, err := os.ReadFile(h.noteName(r.ID))
	if err != nil {
		return restore.Result{}, false
	}
	var n note
	id, err := source.Identify(place)
	if err != nil || json.Unmarshal(b, &n) != nil || n.ID != r.ID || n.File != id {
		return restore.Result{}, false
	}
	return n.Result, true
}

// removeOldNotes does what it can: a note that stays costs some bytes.
func (h *Host) removeOldNotes() {
	entries, err := os.ReadDir(h.notes())
	if err != nil {
		return
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > notesKept {
			_ = os.Remove(filepath.Join(h.notes(), e.Name()))
		}
	}
}
