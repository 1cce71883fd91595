package interop_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/holdfast-db/holdfast/internal/plan"
)

// assertBothRestore fails unless Litestream and Holdfast restore target from p
// to the very bytes of the file truth.
func assertBothRestore(t *testing.T, p place, target plan.Target, truth string) {
	t.Helper()
	ours, _ := holdfastRestore(t, p, target)
	assertSameFile(t, ours, truth)
	theirs := litestreamRestore(t, p, target)
	assertSameFile(t, theirs, truth)
	for _, done := range []string{ours, theirs} { // they may be large
		if err := os.Remove(done); err != nil {
			t.Fatal(err)
		}
	}
}

func assertSameFile(t *testing.T, got, want string) {
	t.Helper()
	a, b := mustOpen(t, got), mustOpen(t, want)
	defer a.Close()
	defer b.Close()
	x, y := make([]byte, 1<<20), make([]byte, 1<<20)
	for off := int64(0); ; {
		n, errA := io.ReadFull(a, x)
		m, errB := io.ReadFull(b, y)
		if n != m || !bytes.Equal(x[:n], y[:m]) {
			t.Fatalf("%s and %s differ after byte %d", got, want, off+int64(firstDifference(x[:n], y[:m])))
		}
		off += int64(n)
		if isEnd(errA) && isEnd(errB) {
			return
		}
		if err := errors.Join(errA, errB); err != nil {
			t.Fatal(err)
		}
	}
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func isEnd(err error) bool { return err == io.EOF || err == io.ErrUnexpectedEOF }

func mustOpen(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
