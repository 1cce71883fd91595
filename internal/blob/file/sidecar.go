package file

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast-db/holdfast/internal/blob"
)

// sidecar is the content of a sidecar. The size tells an object from one that
// another program has put in its place.
type sidecar struct {
	Size     int64         `json:"size"` // of the object, bytes
	Metadata blob.Metadata `json:"metadata"`
}

func (s *Store) sidecar(key string) string {
	return filepath.Join(s.root, ownDir, "meta", filepath.FromSlash(key)+".json")
}

// writeSidecar replaces the sidecar of key, which has no object yet.
func (s *Store) writeSidecar(key string, about sidecar) error {
	data, err := json.Marshal(about)
	if err != nil {
		return err
	}
	path := s.sidecar(key)
	if err := makeDirs(filepath.Dir(path)); err != nil {
		return err
	}
	if err := writeSynced(path+".tmp", data); err != nil {
		return err
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

// readSidecar returns the metadata of the object under key. Litestream's have
// no sidecar: then it is the file's time alone. A sidecar that cannot be read is
// an error, since an object without metadata has no writer that it belongs to.
func (s *Store) readSidecar(key string, object fs.FileInfo) (blob.Metadata, error) {
	bare := blob.Metadata{blob.TimestampKey: object.ModTime().UTC().Format(time.RFC3339Nano)}
	data, err := os.ReadFile(s.sidecar(key))
	if isMissing(err) {
		_, err = os.Stat(s.path(key)) // or is it being deleted?
		return bare, err
	}
	if err != nil {
		return nil, err
	}
	var about sidecar
	if err := json.Unmarshal(data, &about); err != nil {
		return nil, fmt.Errorf("damaged sidecar %s: %w; remove it to use the object without metadata", s.sidecar(key), err)
	}
	if about.Size != object.Size() {
		return bare, nil
	}
	return about.Metadata, nil
}
