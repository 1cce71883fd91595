package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/workflows"
	"github.com/holdfast-db/holdfast/workflows/control"
)

func TestRegisterAsksForWhatWasSaid(t *testing.T) {
	defaults := workflows.Settings{
		Interval: time.Second, Window: 10 * time.Minute, Heartbeat: time.Minute, BackoffCap: 5 * time.Minute, Scrub: 24 * time.Hour, WALLimit: 64 << 20,
		IdleAfter: 5 * time.Minute, ColdAfter: time.Hour, Autonomy: 24 * time.Hour,
		Retention: 7 * 24 * time.Hour, Level0: time.Hour,
	}
	hurried := defaults
	hurried.Interval, hurried.Window = 0, 0
	file := mustWrite(t, "holdfast.yml", "host: db-7\nreplica: file:///root\nsync: {interval: 3s}\nbackoff: {cap: 8s}")
	slow := defaults
	slow.Interval, slow.BackoffCap = 3*time.Second, 8*time.Second
	quick := slow
	quick.Interval = time.Second
	here, err := filepath.Abs("shop.db")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, args string
		env        []string
		want       workflows.Registration
	}{
		{name: "defaults", args: "/srv/Shop.db --replica file:///r",
			want: workflows.Registration{Wait: true, Spec: workflows.Spec{Name: "shop", Host: "web-1", Path: "/srv/Shop.db", Replica: "file:///r", Settings: defaults}}},
		{name: "a relative path", args: "shop.db --replica file:///r",
			want: workflows.Registration{Wait: true, Spec: workflows.Spec{Name: "shop", Host: "web-1", Path: here, Replica: "file:///r", Settings: defaults}}},
		{name: "all flags", args: "/a.db --name t/a --replica file:///r --host db-9 --move --adopt --take-over --interval 0 --window 0 --no-wait",
			want: workflows.Registration{Move: true, Spec: workflows.Spec{Name: "t/a", Host: "db-9", Path: "/a.db", Replica: "file:///r", Adopt: true, TakeOver: true, Settings: hurried}}},
		{name: "a configuration", args: "/a.db --config " + file,
			want: workflows.Registration{Wait: true, Spec: workflows.Spec{Name: "a", Host: "db-7", Path: "/a.db", Replica: "file:///root/a", Settings: slow}}},
		{name: "the environment over a configuration", args: "/a.db --config " + file, env: []string{"HOLDFAST_HOST=db-8", "HOLDFAST_SYNC_INTERVAL=1s"},
			want: workflows.Registration{Wait: true, Spec: workflows.Spec{Name: "a", Host: "db-8", Path: "/a.db", Replica: "file:///root/a",
				Settings: quick}}},
		{name: "without waiting", args: "/a.db --replica file:///r --wait=false",
			want: workflows.Registration{Spec: workflows.Spec{Name: "a", Host: "web-1", Path: "/a.db", Replica: "file:///r", Settings: defaults}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := &fakeFleet{}
			mustSucceed(t, invoke(t, f, row.env, append([]string{"register"}, strings.Fields(row.args)...)...))
			if f.registration != row.want {
				t.Errorf("got  %+v\nwant %+v", f.registration, row.want)
			}
		})
	}
}

func TestRegisterSaysWhatHappened(t *testing.T) {
	answered := workflows.Registered{Status: healthy().Status, Answering: true}
	changed := answered
	changed.Changed = true
	offline := answered
	offline.Answering = false
	for _, row := range []struct {
		name string
		have control.Registered
		want string
	}{
		{"new", control.Registered{Registered: answered, New: true}, "shop is registered\n"},
		{"again", control.Registered{Registered: answered}, "shop was registered already; nothing has changed\n"},
		{"changed", control.Registered{Registered: changed}, "shop was registered already, and is changed now\n"},
		{"the host is away", control.Registered{Registered: offline, New: true}, "shop is registered; host web-1 does not answer, so start holdfast-worker there\n"},
		{"nobody is there", control.Registered{New: true, Unanswered: true}, "shop is registered; no worker answers on queue holdfast, so start holdfast-worker on host web-1\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := &fakeFleet{registered: row.have}
			got := mustSucceed(t, invoke(t, f, nil, "register", "/srv/shop.db", "--replica", "file:///mnt/shop"))
			if !strings.HasPrefix(got, row.want) || !strings.Contains(got, "database  shop\n") || !strings.Contains(got, "replica   file:///mnt/shop\n") {
				t.Errorf("got %s", got)
			}
			doc := mustObject(t, invoke(t, f, nil, "register", "/srv/shop.db", "--replica", "file:///mnt/shop", "--json"))
			if doc["new"] != row.have.New || doc["changed"] != row.have.Changed || doc["host_answering"] != row.have.Answering || doc["name"] != "shop" {
				t.Errorf("got %v", doc)
			}
		})
	}
}

func TestRegisterInAContainerNeedsAHost(t *testing.T) {
	var stdout, stderr bytes.Buffer
	f := &fakeFleet{}
	w := world{
		stdout: &stdout, stderr: &stderr, now: time.Now,
		hostname:  func() (string, error) { return "0123456789ab", nil },
		contained: func() bool { return true },
		dial:      func(context.Context, []string) (fleet, func(), error) { return f, func() {}, nil },
	}
	status := run(t.Context(), w, []string{"register", "/a.db", "--replica", "file:///r"})
	mustFail(t, outcome{status, stdout.String(), stderr.String()}, statusUsage, "set --host or HOLDFAST_HOST")
	if status := run(t.Context(), w, []string{"register", "/a.db", "--replica", "file:///r", "--host", "db-7"}); status != statusDone {
		t.Errorf("with a host: got %d, %s", status, stderr.String())
	}
}
