package changes_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-db/holdfast/internal/blob/file"
	"github.com/holdfast-db/holdfast/internal/host"
	"github.com/holdfast-db/holdfast/internal/replica"
)

// worker is a worker in a process of its own, which can be killed. Its store is
// a directory.
type worker struct{ *child }

// report is what a worker says of a pass.
type report struct {
	Result host.Result
	Err    string
}

// startWorker starts a worker for the rig's database, whose store is at dir.
func startWorker(t *testing.T, path, dir string) worker {
	t.Helper()
	return worker{startChild(t, "worker", path, dir)}
}

// pass makes a pass that must succeed.
func (w worker) pass(t *testing.T) host.Result {
	t.Helper()
	var r report
	if err := json.Unmarshal([]byte(ask(t, w, "pass")), &r); err != nil {
		t.Fatal(err)
	}
	if r.Err != "" {
		t.Fatalf("pass: %s", r.Err)
	}
	return r.Result
}

func playWorker(path, dir string) {
	h, err := host.New(host.Options{
		StateDir:    filepath.Join(dir, "worker"),
		Log:         slog.New(slog.DiscardHandler),
		OpenReplica: func(context.Context, string) (*replica.Replica, error) { return replica.New(file.New(dir)), nil },
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	d := host.Database{Name: "app", Path: path, Replica: "mem:app", Writer: "0123456789abcdef0123456789abcdef"}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); fmt.Println("done") {
		var r report
		if r.Result, err = h.SyncOnce(context.Background(), d, 0); err != nil {
			r.Err = err.Error()
		}
		_ = json.NewEncoder(os.Stdout).Encode(r)
	}
	_ = h.Close(context.Background())
}
