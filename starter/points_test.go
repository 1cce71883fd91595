package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/superfly/ltx"
)

func TestPointsSaysWhatCanBeRestored(t *testing.T) {
	url, states := mustReplica(t)
	dir := strings.TrimPrefix(url, "file://")
	for txid := ltx.TXID(3); txid <= 5; txid++ {
		mustPut(t, dir, txid, states[1])
	}
	if err := os.Remove(filepath.Join(dir, "ltx/0/0000000000000004-0000000000000004.ltx")); err != nil {
		t.Fatal(err)
	}
	got := mustSucceed(t, invoke(t, nil, nil, "points", url, "--all"))
	for _, want := range []string{
		"TXID              CREATED\n0000000000000001  2026-03-01T09:30:01Z\n",
		"3       1s     0000000000000001  2026-03-01T09:30:01Z  0000000000000003  2026-03-01T09:30:03Z\n4 objects, 0.0 MiB; holdfast maintain would remove 0 of them\n",
		"no state from TXID 0000000000000004 to 0000000000000005 can be restored: an object that they need is missing\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	var answer pointsAnswer
	mustDecode(t, mustSucceed(t, invoke(t, nil, nil, "points", url, "--json")), &answer)
	if answer.Objects != 4 || answer.Bytes == 0 || len(answer.Spans) != 1 || answer.Spans[0].States != 3 || len(answer.Points) != 0 ||
		answer.Spans[0].Typical != time.Second.Seconds() || len(answer.Lost) != 1 || answer.Lost[0].Max != "0000000000000005" {
		t.Errorf("got %+v", answer)
	}
	empty := "file://" + t.TempDir()
	mustFail(t, invoke(t, nil, nil, "points", empty), statusFailed, "there is no replica at "+empty)
}

// TestPointsSaysWhatExpiresNext of a replica that is maintained: eight puts become one an
// hour after the last of them, and a snapshot ends the window a week after it.
func TestPointsSaysWhatExpiresNext(t *testing.T) {
	url, states := mustReplica(t)
	dir := strings.TrimPrefix(url, "file://")
	for txid := ltx.TXID(3); txid <= 10; txid++ {
		mustPut(t, dir, txid, states[1])
	}
	got := mustSucceed(t, invoke(t, nil, nil, "points", url))
	const want = "next to expire: on 2026-03-01T10:30:09Z, 8 objects; 7 states, of TXID 0000000000000002, 2026-03-01T09:30:02Z, to 0000000000000008, 2026-03-01T09:30:08Z, " +
		"become coarser then: of these moments only what is before them, and TXID 0000000000000009 of 2026-03-01T09:30:09Z, can be restored\n"
	if !strings.Contains(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	var answer pointsAnswer
	mustDecode(t, mustSucceed(t, invoke(t, nil, nil, "points", url, "--json", "--level0", "2h")), &answer)
	if n := answer.Next; n == nil || n.At.Truncate(time.Second) != now.Add(2*time.Hour+9*time.Second) || n.States != 7 || n.Objects != 8 || n.Shorter || n.Then.TXID != "0000000000000009" {
		t.Errorf("got %+v", n)
	}
	config := mustWrite(t, "holdfast.yml", "retention: {window: 2h, level0: 90m}")
	mustDecode(t, mustSucceed(t, invoke(t, nil, nil, "points", url, "--json", "--config", config)), &answer)
	if n := answer.Next; n == nil || n.At.Truncate(time.Second) != now.Add(90*time.Minute+9*time.Second) || answer.Window != 7200 {
		t.Errorf("by the configuration: got %+v", n)
	}
}
