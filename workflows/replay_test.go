package workflows_test

import (
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/workflows"
)

var record = flag.String("record", "", "record histories in testdata/replay, before all are replayed: one of "+
	strings.Join(slices.Sorted(maps.Keys(recorders)), ", "))

// recorders make the histories. See the README beside them. The script that records those
// of a commit reads the names here: one to a line.
var recorders = map[string]func(t *testing.T){
	"life":       recordLife,
	"maintained": recordMaintained,
	"moved":      recordMoved,
	"parked":     recordParked,
	"plain":      recordPlain,
	"refused":    recordRefusal,
	"restores":   recordRestores,
	"verified":   recordVerified,
}

const recorded = "testdata/replay"

func newReplayer(t *testing.T) worker.WorkflowReplayer {
	t.Helper()
	r, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{
		Interceptors: []interceptor.WorkerInterceptor{workflows.SignalsInOrder()},
	})
	if err != nil {
		t.Fatal(err)
	}
	workflows.RegisterWorkflows(r)
	return r
}

// mustReplay checks that the code, given what happened, decides the same again.
func mustReplay(t *testing.T, h *historypb.History) {
	t.Helper()
	if err := newReplayer(t).ReplayWorkflowHistory(newLog(t), h); err != nil {
		t.Errorf("replay: %v", err)
	}
}

// TestReplay holds the code to the decisions that earlier versions recorded:
// workflows that run when a worker is replaced must go on.
func TestReplay(t *testing.T) {
	if *record != "" {
		do := recorders[*record]
		if do == nil {
			t.Fatalf("nobody records %q", *record)
		}
		do(t)
	}
	for _, file := range mustListRecorded(t) {
		t.Run(file, func(t *testing.T) {
			if err := newReplayer(t).ReplayWorkflowHistoryFromJSONFile(newLog(t), filepath.Join(recorded, file)); err != nil {
				t.Error(err)
			}
		})
	}
}

// mustListRecorded returns the files with recorded histories: those of the first versions,
// and those of each commit that has a directory.
func mustListRecorded(t *testing.T) (files []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(recorded), ".", func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".json" {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded histories: %v", err)
	}
	return files
}

// save writes the histories of all runs, the oldest first.
func (s *site) save(name string) {
	s.t.Helper()
	runs := s.runs()
	slices.Reverse(runs)
	for i, run := range runs {
		s.write(fmt.Sprintf("%s-%d", name, i+1), s.history(run))
	}
}

// write writes one history. It replaces none: what is there may be of a version that runs
// somewhere.
func (s *site) write(name string, h *historypb.History) {
	s.t.Helper()
	text, err := protojson.MarshalOptions{Multiline: true, Indent: " "}.Marshal(h)
	if err != nil {
		s.t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(recorded, name+".json"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		s.t.Fatalf("%v; make record writes it beside those there are", err)
	}
	if _, err := f.Write(append(text, '\n')); err != nil {
		s.t.Error(err)
	}
	if err := f.Close(); err != nil {
		s.t.Error(err)
	}
}

// register starts the workflow with its registration, as the command line does.
func (s *site) register(r workflows.Registration) (res workflows.Registered, err error) {
	s.t.Helper()
	handle, err := s.c.UpdateWithStartWorkflow(s.t.Context(), client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: s.c.NewWithStartWorkflowOperation(s.startOptions(), workflows.TypeReplicateDatabase, s.in),
		UpdateOptions: client.UpdateWorkflowOptions{
			UpdateName: workflows.UpdateRegister, Args: []any{r}, WaitForStage: client.WorkflowUpdateStageCompleted,
		},
	})
	if err == nil {
		err = handle.Get(s.t.Context(), &res)
	}
	return res, err
}

// must fails the test when an update did.
func (s *site) must(name string, arg any) {
	s.t.Helper()
	if err := s.update(name, "", arg); err != nil {
		s.t.Fatalf("%s: %v", name, err)
	}
}

func (s *site) windows(n int) {
	s.t.Helper()
	s.eventually(time.Minute, fmt.Sprintf("window %d", n), func() bool { _, w := s.h.count(); return w >= n })
}

// recordLife is a database's life from registration to stop, over two runs.
func recordLife(t *testing.T) {
	s := newSite(t, &liveHost{script: []error{ok, disk, disk, disk, disk, ok}})
	s.in.Settings = workflows.Settings{Interval: 100 * time.Millisecond, Window: 10 * time.Minute, BackoffCap: 2 * time.Second, HostTimeout: time.Second}
	s.in.MaxWindows, s.in.UseSearchAttributes = 5, true
	stop := s.syncWorker()
	if _, err := s.register(workflows.Registration{Spec: s.in.Spec, Wait: true}); err != nil {
		t.Fatal(err)
	}
	s.windows(7) // the backoff is over, in the second run
	s.signal(workflows.SignalPause, workflows.Message{ID: "p1", Reason: "recording"})
	s.must(workflows.UpdateResume, workflows.Message{ID: "r1"})
	s.windows(8)
	s.must(workflows.UpdateSync, workflows.Message{})
	stop()
	s.eventually(time.Minute, "HostOffline", func() bool { return s.status().Phase == workflows.HostOffline })
	s.syncWorker()
	s.eventually(time.Minute, "Replicating", func() bool { return s.status().Phase == workflows.Replicating })
	s.h.mu.Lock()
	s.h.rest = fenced
	s.h.mu.Unlock()
	s.eventually(time.Minute, "Fenced", func() bool { return s.status().Phase == workflows.Fenced })
	s.h.mu.Lock()
	s.h.rest = nil
	s.h.mu.Unlock()
	s.signal(workflows.SignalResume, "typed by a person")
	s.signal(workflows.SignalReport, activities.Report{Window: 1})
	s.must(workflows.UpdatePause, workflows.Message{})
	s.signal(workflows.SignalWake, nil)
	s.must(workflows.UpdateStop, workflows.StopRequest{})
	s.save("life")
}

// recordRefusal is a registration that the host refuses.
func recordRefusal(t *testing.T) {
	s := newSite(t, &liveHost{check: notWAL})
	if _, err := s.register(workflows.Registration{Spec: s.in.Spec}); err == nil {
		t.Fatal("it was not refused")
	}
	s.save("refused")
}

// recordPlain is the plain form: a timer and an activity for each pass. It is
// cancelled in the end.
func recordPlain(t *testing.T) {
	s := newSite(t, &liveHost{script: []error{ok, net, ok}})
	s.in.Settings = workflows.Settings{Interval: 100 * time.Millisecond, Heartbeat: time.Minute}
	s.syncWorker()
	s.start()
	s.windows(5)
	if err := s.c.CancelWorkflow(t.Context(), s.id(), ""); err != nil {
		t.Fatal(err)
	}
	_ = s.c.GetWorkflow(t.Context(), s.id(), "").Get(t.Context(), nil)
	s.save("plain")
}
