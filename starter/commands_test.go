package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/workflows"
	"github.com/holdfast-db/holdfast/workflows/control"
)

func TestStatusText(t *testing.T) {
	backingOff := healthy()
	backingOff.Phase, backingOff.Failures = workflows.StoreUnavailable, 3
	backingOff.Problem = &workflows.Problem{Type: "StoreUnavailable", Message: "put:\nconnection refused; wait", At: now}
	backingOff.Attempt = &control.Attempt{Number: 4, Next: now.Add(8 * time.Second)}
	backingOff.Resyncs, backingOff.ResyncReason = 1, "unknown"
	backingOff.CleanUps.Count = 2
	resting := healthy()
	resting.NextAttempt = now.Add(time.Second) // which is no news
	paused := healthy()
	paused.Phase, paused.Paused, paused.PauseReason = workflows.Paused, true, "moving house"
	for _, row := range []struct {
		name string
		have control.Status
		want string
	}{
		{"all is well", resting, `
database  shop
phase     Replicating since 2026-03-01T08:30:00Z
meaning   What is committed is in the store an interval and a put later.
file      web-1:/srv/shop.db
replica   file:///mnt/shop
txid      000000000000001f
lag       1.5 s, equal at 2026-03-01T09:29:58Z
behind    0.5 MiB of log, 0.0 MiB in the spool
shipped   40 transactions, 31 objects, 3.0 MiB; last at 2026-03-01T09:29:58Z
workflow  holdfast/db/shop
`},
		{"backing off", backingOff, `
database   shop
phase      StoreUnavailable since 2026-03-01T08:30:00Z
meaning    The store does not answer, or asks for fewer requests. Changes wait in the log, and beyond its limit in the spool.
to do      Look at the store, the network and the credentials' time; it goes on by itself.
file       web-1:/srv/shop.db
replica    file:///mnt/shop
txid       000000000000001f
lag        1.5 s, equal at 2026-03-01T09:29:58Z
behind     0.5 MiB of log, 0.0 MiB in the spool
shipped    40 transactions, 31 objects, 3.0 MiB; last at 2026-03-01T09:29:58Z
resyncs    1, last because unknown
failures   3 in a row
problem    StoreUnavailable: put: connection refused; wait
next try   2026-03-01T09:30:08Z
clean-ups  2
workflow   holdfast/db/shop
`},
		{"paused", paused, `
database  shop
phase     Paused since 2026-03-01T08:30:00Z (moving house)
meaning   Somebody has paused it. Nothing is shipped.
to do     Resume it when the reason is gone.
file      web-1:/srv/shop.db
replica   file:///mnt/shop
txid      000000000000001f
lag       1.5 s, equal at 2026-03-01T09:29:58Z
behind    0.5 MiB of log, 0.0 MiB in the spool
shipped   40 transactions, 31 objects, 3.0 MiB; last at 2026-03-01T09:29:58Z
workflow  holdfast/db/shop
`},
		{"no worker, nothing known", control.Status{Status: workflows.Status{Name: "shop", Host: "web-1", Path: "/srv/shop.db"}}, `
database  shop
phase     -
file      web-1:/srv/shop.db
replica   -
note      no worker answers; this is what Temporal has on record
workflow  holdfast/db/shop
`},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := &fakeFleet{status: row.have}
			if got := mustSucceed(t, invoke(t, f, nil, "status", "shop")); got != row.want[1:] {
				t.Errorf("got:\n%s\nwant:%s", got, row.want)
			}
			if !slices.Equal(f.asked, []string{"status shop"}) {
				t.Errorf("asked %q", f.asked)
			}
		})
	}
}

func TestStatusJSONHasBytesAndSeconds(t *testing.T) {
	s := healthy()
	s.Attempt = &control.Attempt{Number: 1, Worker: "w", Heartbeat: now.Add(-time.Second)}
	got := mustObject(t, invoke(t, &fakeFleet{status: s}, nil, "status", "shop", "-o", "json"))
	for key, want := range map[string]any{
		"name": "shop", "phase": "Replicating", "txid": "000000000000001f", "lag_seconds": 1.5, "behind_bytes": float64(1 << 19),
		"synced_at": "2026-03-01T09:29:58.5Z", "shipped_bytes": float64(3 << 20), "interval_seconds": 1.0, "window_seconds": 600.0,
		"answering": true, "problem": nil, "next_attempt": nil, "heartbeat": "2026-03-01T09:29:59Z", "attempt": 1.0,
	} {
		if have, ok := got[key]; !ok || have != want {
			t.Errorf("%s: got %v, want %v", key, have, want)
		}
	}
	got = mustObject(t, invoke(t, &fakeFleet{}, nil, "status", "shop", "--json"))
	for _, key := range []string{"txid", "lag_seconds", "synced_at", "last_put", "since"} {
		if have, ok := got[key]; !ok || have != nil {
			t.Errorf("%s of a database nothing is known of: got %v, want null", key, have)
		}
	}
}

func mustObject(t *testing.T, got outcome) (doc map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(mustSucceed(t, got)), &doc); err != nil {
		t.Fatalf("%v: %s", err, got.stdout)
	}
	return doc
}

func TestLagNeverIsNegative(t *testing.T) {
	s := healthy()
	s.SyncedAt = now.Add(time.Minute) // the host's clock is ahead of ours
	if got := mustSucceed(t, invoke(t, &fakeFleet{status: s}, nil, "status", "shop")); !strings.Contains(got, "lag       0.0 s") {
		t.Errorf("got %s", got)
	}
}

func TestAnIdleDatabaseDoesNotLag(t *testing.T) {
	s := healthy()
	s.Phase, s.SyncedAt = workflows.Idle, now.Add(-time.Hour)
	got := mustSucceed(t, invoke(t, &fakeFleet{status: s}, nil, "status", "shop"))
	for _, want := range []string{"lag       0.0 s", "meaning   " + workflows.Idle.Meaning().What} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
	if strings.Contains(got, "to do") {
		t.Errorf("there is something to do: %s", got)
	}
	s.Phase = workflows.Fenced
	if got := mustSucceed(t, invoke(t, &fakeFleet{status: s}, nil, "status", "shop")); !strings.Contains(got, "to do     "+workflows.Fenced.Meaning().Do) || !strings.Contains(got, "lag       3600.0 s") {
		t.Errorf("got %s", got)
	}
}

func TestList(t *testing.T) {
	f := &fakeFleet{entries: []control.Entry{
		{Name: "orders", Host: "web-2", Path: "/srv/orders.db", Replica: "file:///r/orders", Phase: workflows.Paused},
		{Name: "shop", Host: "web-1", Path: "/srv/shop.db", Replica: "file:///r/shop"},
	}}
	want := `
NAME    PHASE   HOST   PATH            REPLICA
orders  Paused  web-2  /srv/orders.db  file:///r/orders
shop    -       web-1  /srv/shop.db    file:///r/shop
`
	if got := mustSucceed(t, invoke(t, f, nil, "list")); got != want[1:] {
		t.Errorf("got:\n%s\nwant:%s", got, want)
	}
	var all []listed
	if err := json.Unmarshal([]byte(mustSucceed(t, invoke(t, f, nil, "list", "-o", "json"))), &all); err != nil || len(all) != 2 || all[0].Phase != "Paused" {
		t.Errorf("got %+v, %v", all, err)
	}
	if got := mustSucceed(t, invoke(t, &fakeFleet{}, nil, "list")); !strings.Contains(got, "holdfast register PATH") {
		t.Errorf("an empty list does not say what to do: %q", got)
	}
	if got := mustSucceed(t, invoke(t, &fakeFleet{}, nil, "list", "--json")); strings.TrimSpace(got) != "[]" {
		t.Errorf("got %q, want an empty array", got)
	}
}

func TestPauseAndResume(t *testing.T) {
	now := control.Told{Status: workflows.Status{Phase: workflows.Paused}}
	f := &fakeFleet{told: now}
	if got := mustSucceed(t, invoke(t, f, nil, "pause", "a", "b", "--reason", "because")); got != "a: paused, now Paused\nb: paused, now Paused\n" {
		t.Errorf("got %q", got)
	}
	if !slices.Equal(f.asked, []string{"pause a because", "pause b because"}) {
		t.Errorf("asked %q", f.asked)
	}
	f = &fakeFleet{told: control.Told{Pending: true}}
	if got := mustSucceed(t, invoke(t, f, nil, "resume", "a")); got != "a: signal sent; no worker answers, so it will be resumed when holdfast-worker runs\n" {
		t.Errorf("got %q", got)
	}
	got := invoke(t, &fakeFleet{told: now}, nil, "pause", "a", "unknown", "b")
	if got.status != statusFailed || got.stdout != "a: paused, now Paused\n" || got.stderr != "holdfast: pause: not registered\n" {
		t.Errorf("after a failure: got %+v", got)
	}
}

func TestSyncStopSetupVersion(t *testing.T) {
	f := &fakeFleet{
		synced:  workflows.Synced{Progress: activities.Progress{TXID: 0x20, Puts: 1, Bytes: 1 << 20}},
		stopped: workflows.Stopped{Status: healthy().Status},
		created: []string{"HoldfastPhase", "HoldfastHost"},
	}
	for _, row := range []struct{ args, want, asked string }{
		{"sync shop", "shop: durable up to txid 0000000000000020; 1 objects, 1.0 MiB written\n", "sync shop"},
		{"stop shop", "shop is not replicated any more; its replica holds txid 000000000000001f and stays at file:///mnt/shop\nits host did not answer: it closes the database when its worker ends\n", "stop shop with"},
		{"stop shop --no-final-pass", "shop is not replicated any more", "stop shop without"},
		{"setup", "created search attributes HoldfastPhase, HoldfastHost\n", "setup"},
		{"version", "holdfast ", ""},
	} {
		f.asked = nil
		if got := mustSucceed(t, invoke(t, f, nil, strings.Fields(row.args)...)); !strings.HasPrefix(got, row.want) {
			t.Errorf("%s: got %q, want %q", row.args, got, row.want)
		}
		if got := strings.Join(f.asked, ","); got != row.asked {
			t.Errorf("%s: asked %q, want %q", row.args, got, row.asked)
		}
		if doc := mustObject(t, invoke(t, f, nil, append(strings.Fields(row.args), "--json")...)); len(doc) == 0 {
			t.Errorf("%s: no JSON", row.args)
		}
	}
	if got := mustSucceed(t, invoke(t, &fakeFleet{}, nil, "setup")); got != "all search attributes were there already\n" {
		t.Errorf("got %q", got)
	}
}
