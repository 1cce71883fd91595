package ship_test

import (
	"path/filepath"
	"testing"

	"github.com/holdfast-db/holdfast/internal/ship"
)

func TestAStateDirectoryTellsWhoHoldsIt(t *testing.T) {
	path := ship.StateDir(filepath.Join(t.TempDir(), "app.db"))
	if _, yes, err := ship.Locked(path); yes || err != nil {
		t.Fatalf("none: got %t, %v", yes, err)
	}
	dir, err := ship.OpenDir(path, ship.OS)
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.Save(ship.State{Name: "shop"}); err != nil {
		t.Fatal(err)
	}
	if name, yes, err := ship.Locked(path); name != "shop" || !yes || err != nil {
		t.Errorf("held: got %q, %t, %v, want shop, true", name, yes, err)
	}
	if err := dir.Close(); err != nil {
		t.Fatal(err)
	}
	if _, yes, err := ship.Locked(path); yes || err != nil {
		t.Errorf("let go: got %t, %v", yes, err)
	}
}
