package changes_test

import (
	"testing"
	"time"
)

// TestCheckpointsDoNotWaitForAWorker runs checkpoints that wait for readers right
// after commits, again and again. The worker, which has shipped all, must not be
// in their way for longer than a pass: an application holds the write lock
// meanwhile.
func TestCheckpointsDoNotWaitForAWorker(t *testing.T) {
	path, app := mustDatabase(t, startNewer)
	r := mustReplicate(t, path)
	w := r.startWindow(t, time.Millisecond)
	for range 1000 {
		run(t, app, "INSERT INTO t(v) VALUES (randomblob(9000))", "DELETE FROM t WHERE id % 5 = 0")
		checkpoint(t, app, "FULL")
		if t.Failed() {
			break
		}
	}
	w.stop(t)
	r.check(t)
}
