package restore_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-db/holdfast/internal/restore"
)

func TestRenamingNeverReplaces(t *testing.T) {
	for name, rename := range map[string]func(from, to string) error{"as the system does": restore.RenameNew, "by looking": restore.RenameChecked} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
			for _, path := range []string{from, to} {
				if err := os.WriteFile(path, []byte(path), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := rename(from, to); !errors.Is(err, fs.ErrExist) {
				t.Errorf("error %v, want %v", err, fs.ErrExist)
			}
			if b, err := os.ReadFile(to); err != nil || string(b) != to {
				t.Errorf("it is now %q, %v", b, err)
			}
			if err := os.Remove(to); err != nil {
				t.Fatal(err)
			}
			if err := rename(from, to); err != nil {
				t.Error(err)
			}
			if b, err := os.ReadFile(to); err != nil || string(b) != from {
				t.Errorf("it is now %q, %v", b, err)
			}
		})
	}
}
