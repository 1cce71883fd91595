package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/workflows"
	"github.com/holdfast-db/holdfast/workflows/control"
)

func TestVerifyByURLNeedsNobody(t *testing.T) {
	url, _ := mustReplica(t)
	scratch := t.TempDir()
	got := mustSucceed(t, invoke(t, nil, nil, "verify", url, "--check", "SELECT count(*) = 2 FROM t", "--scratch", scratch))
	for _, want := range []string{"2 objects, 0.0 MiB: 2 read, 0 of them compared with digests; 2 states from 2026-03-01T09:30:01Z to 2026-03-01T09:30:02Z\n",
		"proven restorable at txid 0000000000000002 of 2026-03-01T09:30:02Z: 0.0 MiB from 2 objects in ", " on Web-1 (integrity_check, own check)\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want %q in it", got, want)
		}
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("scratch space has %v, %v", left, err)
	}
	if got := mustSucceed(t, invoke(t, nil, nil, "verify", url, "--cheap")); strings.Contains(got, "proven") || !strings.Contains(got, "2 read") {
		t.Errorf("a cheap one: %q", got)
	}
	out := invoke(t, nil, nil, "verify", url, "--check", "SELECT count(*) = 3 FROM t")
	if out.status != statusFailed || !strings.Contains(out.stderr, `the check did not pass: it gave "0", want one row with 1; look at the database`) {
		t.Errorf("a check that fails: %+v", out)
	}
	empty := "file://" + t.TempDir()
	mustFail(t, invoke(t, nil, nil, "verify", empty), statusFailed, "there is no replica at "+empty)
}

func TestVerifyByURLNamesAndSetsAside(t *testing.T) {
	url, states := mustReplica(t)
	dir := strings.TrimPrefix(url, "file://")
	mustPut(t, dir, 3, states[1])
	bad := filepath.Join(dir, "ltx/0/0000000000000002-0000000000000002.ltx")
	whole, err := os.ReadFile(bad)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bad, whole[:len(whole)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(bad, old, old); err != nil {
		t.Fatal(err)
	}
	out := invoke(t, nil, nil, "verify", url)
	if out.status != statusFailed || !strings.Contains(out.stdout, "damaged: ltx/0/0000000000000002-0000000000000002.ltx: ") || !strings.Contains(out.stderr, "ltx/0/0000000000000002-0000000000000002.ltx") {
		t.Errorf("got %+v", out)
	}
	out = invoke(t, nil, nil, "verify", url, "--repair", "--json")
	var answer verifiedView
	mustDecode(t, out.stdout, &answer)
	if r := answer.Repair; out.status != statusFailed || r == nil || r.Refused == "" || answer.Proven == nil || answer.Proven.TXID != "0000000000000001" {
		t.Errorf("without the database: %+v", out)
	}
	if !strings.Contains(out.stderr, "the newest state that can be restored is TXID 0000000000000001") || !strings.Contains(out.stderr, "NotProven") {
		t.Errorf("got %s", out.stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "damaged/0/0000000000000002-0000000000000002.ltx.0")); err != nil {
		t.Error(err)
	}
}

func TestVerifyByNameAsksTheFleet(t *testing.T) {
	proven := &activities.Proven{TXID: 7, Created: now, At: now, Digest: true, Bytes: 1 << 20, Objects: 3, Took: activities.Duration(time.Second), Worker: "web-2", Elsewhere: true}
	f := &fakeFleet{verified: workflows.VerifyAnswer{Name: "shop", OK: true, Found: activities.VerifyResult{Worker: "web-2", Elsewhere: true, Proven: proven}}}
	got := mustSucceed(t, invoke(t, f, nil, "verify", "shop", "--repair", "--check", "SELECT 1", "--budget", "1GiB"))
	if !strings.Contains(got, "proven restorable at txid 0000000000000007 of 2026-03-01T09:30:00Z: 1.0 MiB from 3 objects in 1.0 s on web-2 (digest, integrity_check)\n") {
		t.Errorf("got %q", got)
	}
	want := workflows.VerifyRequest{Name: "shop", Check: "SELECT 1", CheckWithin: activities.Duration(5 * time.Minute), Repair: true, Budget: 1 << 30}
	if len(f.asked) != 1 || f.asked[0] != fmt.Sprintf("verify %+v", want) {
		t.Errorf("asked %q", f.asked)
	}
}

func TestVerifySaysWhatWasDone(t *testing.T) {
	answer := workflows.VerifyAnswer{
		Name: "shop",
		Found: activities.VerifyResult{Survey: activities.Survey{
			Damages: 2, Damaged: []activities.DamagedObject{{Key: "ltx/0/a", Why: "cut short"}}, Gaps: []string{"TXID 5 is missing"}, Missing: 9,
		}},
		Repair: &workflows.RepairAnswer{Snapshot: 10, Mending: activities.Mending{
			Aside: []string{"ltx/0/a"}, Later: []string{"ltx/0/b"}, When: now, Merged: "ltx/9/c", Lost: []activities.TXIDs{{Min: 5, Max: 6}},
		}},
		Again: &activities.VerifyResult{Fault: &activities.Fault{Message: "it does not restore; try again"}, Survey: activities.Survey{Unread: 3, Unsize: 2 << 20}},
	}
	out := invoke(t, &fakeFleet{verified: answer}, nil, "verify", "shop")
	for _, want := range []string{
		"damaged: ltx/0/a (or an object before it): cut short\n", "and 1 more damaged objects\n", "TXID 5 is missing\n", "TXID 0000000000000009 had been put, and is gone\n",
		"repaired: the database has put a snapshot, txid 000000000000000a\n", "repaired: ltx/0/a was set aside, as damaged/0/a\n", "kept what is sound as ltx/9/c\n",
		"ltx/0/b stays where it is until 2026-03-01T09:30:00Z\n", "lost: the states from txid 0000000000000005 to 0000000000000006 cannot be restored any more\n", "3 objects, 2.0 MiB, were not read\n",
	} {
		if !strings.Contains(out.stdout, want) {
			t.Errorf("got %q, want %q in it", out.stdout, want)
		}
	}
	if out.status != statusFailed || out.stderr != "holdfast: verify: it does not restore; try again\n" {
		t.Errorf("got status %d, %q", out.status, out.stderr)
	}
	mustFail(t, invoke(t, &fakeFleet{err: control.ErrUnderWay}, nil, "verify", "shop"), statusFailed, "a verification is under way")
}

func TestVerifyKeepsASchedule(t *testing.T) {
	f := &fakeFleet{scheduled: true}
	if got := mustSucceed(t, invoke(t, f, nil, "verify", "shop", "--every", "24h", "--cheap")); got != "shop is verified once in 24h0m0s from now on; holdfast verify shop --off ends that\n" {
		t.Errorf("got %q", got)
	}
	if want := "verify every 24h0m0s {Name:shop Cheap:true"; !strings.HasPrefix(f.asked[0], want) {
		t.Errorf("asked %q, want %q", f.asked, want)
	}
	if got := mustSucceed(t, invoke(t, f, nil, "verify", "shop", "--off")); got != "shop is not verified by itself any more\n" {
		t.Errorf("got %q", got)
	}
	if got := mustSucceed(t, invoke(t, &fakeFleet{}, nil, "verify", "shop", "--off")); got != "shop was not verified by itself\n" {
		t.Errorf("got %q", got)
	}
}

func TestStatusTellsOfVerifications(t *testing.T) {
	s := healthy()
	if got := mustSucceed(t, invoke(t, &fakeFleet{status: s}, nil, "status", "shop")); strings.Contains(got, "verified") {
		t.Errorf("without any: %q", got)
	}
	s.Verified = activities.Verification{
		At: now, Problem: "2 damaged objects; look", Repair: "set aside", Left: "3 objects were not read", Lost: []activities.TXIDs{{Min: 1, Max: 2}},
		Proven: &activities.Proven{TXID: 7, Created: now, At: now, Worker: "web-2"},
	}
	got := strings.Join(strings.Fields(mustSucceed(t, invoke(t, &fakeFleet{status: s}, nil, "status", "shop"))), " ")
	for _, want := range []string{
		"proven at 2026-03-01T09:30:00Z: restorable at txid 0000000000000007 of 2026-03-01T09:30:00Z", "verified at 2026-03-01T09:30:00Z: 2 damaged objects; look",
		"repair set aside", "lost the states from txid 0000000000000001 to 0000000000000002", "not read 3 objects were not read",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want %q in it", got, want)
		}
	}
	var v view
	mustDecode(t, mustSucceed(t, invoke(t, &fakeFleet{status: s}, nil, "status", "shop", "-o", "json")), &v)
	if m := v.Verification; m == nil || m.Proven == nil || m.Proven.TXID != "0000000000000007" || m.Problem == "" || len(m.Lost) != 1 {
		t.Errorf("got %+v", m)
	}
}
