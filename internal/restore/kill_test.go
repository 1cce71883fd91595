package restore_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/blob/file"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/restore"
)

// restoreVariable makes this program restore from a directory to a file. With
// killVariable it kills itself when it has read so many bytes of objects; with
// followVariable it follows.
const (
	restoreVariable = "HOLDFAST_TEST_RESTORE"
	killVariable    = "HOLDFAST_TEST_KILL"
	followVariable  = "HOLDFAST_TEST_FOLLOW"
)

func TestMain(m *testing.M) {
	from, to, ok := strings.Cut(os.Getenv(restoreVariable), "\n")
	if !ok {
		os.Exit(m.Run())
	}
	opts := restore.Options{Output: to, Force: true}
	if most, err := strconv.ParseInt(os.Getenv(killVariable), 10, 64); err == nil {
		opts.Progress = func(p restore.Progress) {
			if p.Bytes >= most {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
		}
	}
	_, follow := os.LookupEnv(followVariable)
	var err error
	if follow {
		opts.Force = false
		err = restore.Follow(context.Background(), replica.New(file.New(from)), restore.FollowOptions{Options: opts, Source: "mem:", Interval: time.Millisecond})
	} else {
		_, err = restore.Run(context.Background(), replica.New(file.New(from)), opts)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// TestAKilledRestoreLeavesNothingHalf kills a restore in the place of an older file
// at moments all over its run. The older file stays as it was, with its log, until
// the new one is complete; the next restore finishes and clears up.
func TestAKilledRestoreLeavesNothingHalf(t *testing.T) {
	store := t.TempDir()
	h := newHistoryIn(t, file.New(store), 4096)
	random := rand.New(rand.NewPCG(1, 2))
	for version := range byte(6) {
		state := image(4096, 3000, version)
		for i := 4096; i < len(state); i += 3 { // so that there is something to decompress
			state[i] = byte(random.Uint32())
		}
		h.ship(state, version%3 == 0)
	}
	want := h.states[h.head()]
	kills := 40
	if testing.Short() {
		kills = 8
	}
	outcomes := make(map[string]int)
	long := timeOf(t, func() { mustRunRestore(t, store, filepath.Join(t.TempDir(), "app.db")) })
	for n := range kills {
		dir := t.TempDir()
		out := filepath.Join(dir, "app.db")
		mustWrite(t, out, "an older file")
		mustWrite(t, out+"-wal", "its log")
		cmd := restoring(store, out)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(long * time.Duration(n) / time.Duration(kills))
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		switch got := mustRead(t, out); {
		case bytes.Equal(got, want):
			outcomes["done"]++
			assertFiles(t, dir, "app.db")
		case string(got) == "an older file":
			outcomes["not done"]++
		default:
			t.Errorf("kill %d: %d bytes under the name, neither the older file nor the restored one", n, len(got))
		}
		mustRunRestore(t, store, out)
		if got := mustRead(t, out); !bytes.Equal(got, want) {
			t.Errorf("kill %d: the second restore gave %d bytes that are not the source's", n, len(got))
		}
		assertFiles(t, dir, "app.db")
	}
	t.Log(outcomes)
	if outcomes["not done"] == 0 {
		t.Error("no restore was killed before it was done")
	}
}

func restoring(store, out string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), restoreVariable+"="+store+"\n"+out)
	cmd.Stderr = os.Stderr
	return cmd
}

func mustRunRestore(t *testing.T, store, out string) {
	t.Helper()
	if err := restoring(store, out).Run(); err != nil {
		t.Fatalf("restore to %s: %v", out, err)
	}
}

func timeOf(t *testing.T, f func()) time.Duration {
	t.Helper()
	begin := time.Now()
	f()
	return time.Since(begin)
}
