package host

import "github.com/holdfast-db/holdfast/internal/source"

// Recognise tells whether the file at path is a database that can be replicated, as
// far as its first bytes and permissions say. One that is open here is not opened
// again: closing a second descriptor would drop SQLite's locks on it.
func (h *Host) Recognise(path string) error {
	h.opening.Lock()
	defer h.opening.Unlock()
	id, err := source.Identify(path)
	if err != nil || h.hasOpen(id) {
		return err
	}
	return source.Probe(path)
}
