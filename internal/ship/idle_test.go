package ship_test

import (
	"testing"

	"github.com/holdfast-db/holdfast/internal/ship"
)

// TestIdleDatabaseIsLeftAlone lets a log grow long, be copied into the database
// file and then stay as it is: passes that find nothing new must not write.
func TestIdleDatabaseIsLeftAlone(t *testing.T) {
	fs := &failing{FS: ship.OS}
	b := newBench(t)
	b.stop()
	b.fs = fs
	b.start()
	b.mustPass()
	b.insert(8 << 10)
	b.mustPass()
	if len(fs.log) == 0 {
		t.Fatal("the log was not copied into the file: too little was inserted")
	}
	fs.log = nil
	for range 5 {
		b.mustPass()
	}
	if len(fs.log) > 0 {
		t.Errorf("5 passes with nothing to ship wrote: %q", fs.log)
	}
	b.insert(1)
	b.mustPass()
	b.mustEqual()
}
