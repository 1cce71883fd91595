package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/superfly/ltx"
)

// TestMaintainMergesAndRemoves maintains a replica whose objects are older than any that
// are kept, as a person does: first to see what would be done, then twice.
func TestMaintainMergesAndRemoves(t *testing.T) {
	real := now
	now = time.Now().AddDate(0, 0, -1)
	defer func() { now = real }()
	url, states := mustReplica(t)
	dir := strings.TrimPrefix(url, "file://")
	for txid := ltx.TXID(3); txid <= 20; txid++ {
		mustPut(t, dir, txid, states[txid%2])
	}
	objects := func() int {
		found, err := filepath.Glob(filepath.Join(dir, "ltx", "*", "*.ltx"))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	maintain := func(flags ...string) string {
		return mustSucceed(t, invoke(t, nil, nil, append([]string{"maintain", url}, flags...)...))
	}
	if got := maintain("--dry-run"); !strings.HasPrefix(got, "would have made 2 objects of others: ") || objects() != 20 {
		t.Errorf("%d objects after %q", objects(), got)
	}
	if got := maintain("--keep"); !strings.HasPrefix(got, "made 2 objects of others: ") || objects() != 22 {
		t.Errorf("%d objects after %q", objects(), got)
	}
	now = time.Now() // which is that of the file system: nothing is removed by another
	if got := maintain("--keep"); !strings.Contains(got, "\nkept 16 objects, ") || objects() != 22 {
		t.Errorf("%d objects after %q", objects(), got)
	}
	var answer maintainAnswer
	mustDecode(t, maintain("--json"), &answer)
	if answer.Expired != 16 || answer.ExpiredBytes == 0 || answer.Oldest == nil || objects() != 6 {
		t.Errorf("%d objects after %+v", objects(), answer)
	}
	if got := maintain(); !strings.HasPrefix(got, "merged nothing: ") || !strings.Contains(got, "removed nothing: each of the 6 objects, ") {
		t.Errorf("got %q", got)
	}
	for _, flags := range []string{"", "--txid 0000000000000001", "--txid 0000000000000009", "--txid 0000000000000011", "--txid 0000000000000012"} {
		output := filepath.Join(t.TempDir(), "out.db")
		mustSucceed(t, invoke(t, nil, nil, append([]string{"restore", url, "-o", output}, strings.Fields(flags)...)...))
		restored, err := os.ReadFile(output)
		if want := states[map[string]int{"--txid 0000000000000001": 0, "--txid 0000000000000009": 1, "--txid 0000000000000011": 1}[flags]]; err != nil || !bytes.Equal(restored, want) {
			t.Errorf("restore %s: another state, or %v", flags, err)
		}
	}
}

func TestMaintainRefusesWhatWouldLose(t *testing.T) {
	url, _ := mustReplica(t)
	for flags, want := range map[string]string{
		"--level0 59m":             "--level0 is 59m0s, want 1h0m0s at least",
		"--window 2h --level0 3h":  "--window is 2h0m0s, want 3h0m0s at least",
		"--window -1h --level0 1h": "--window is -1h0m0s",
	} {
		mustFail(t, invoke(t, nil, nil, append([]string{"maintain", url}, strings.Fields(flags)...)...), statusUsage, want)
	}
	empty := "file://" + t.TempDir()
	mustFail(t, invoke(t, nil, nil, "maintain", empty), statusFailed, "there is no replica at "+empty)
}

// TestMaintainGoesByTheSettings where no flag says otherwise: nothing is removed where
// the store does that.
func TestMaintainGoesByTheSettings(t *testing.T) {
	url, _ := mustReplica(t)
	config := mustWrite(t, "holdfast.yml", "retention: {window: 2h, level0: 90m, store: true}")
	var answer maintainAnswer
	mustDecode(t, mustSucceed(t, invoke(t, nil, nil, "maintain", url, "--json", "--config", config)), &answer)
	if !answer.Kept || answer.Window != 7200 {
		t.Errorf("got %+v", answer)
	}
	answer = maintainAnswer{}
	mustDecode(t, mustSucceed(t, invoke(t, nil, nil, "maintain", url, "--json", "--config", config, "--keep=false", "--window", "3h")), &answer)
	if answer.Kept || answer.Window != 10800 {
		t.Errorf("got %+v", answer)
	}
}

// TestMaintainIsTheJanitor sends its secret and nobody else's.
func TestMaintainIsTheJanitor(t *testing.T) {
	var sent []string
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent = append(sent, r.URL.Query().Get("sig"))
		w.WriteHeader(http.StatusForbidden)
	}))
	defer store.Close()
	file := func(name, sig string) string { return mustWrite(t, name, "sv=2024-11-04&sig="+sig) }
	config := mustWrite(t, "holdfast.yml", "azure: {sas-file: "+file("host", "hosts")+"}\njanitor: {sas-file: "+file("janitor", "janitors")+"}")
	url := "abs://account@backups/shop?endpoint=" + store.URL + "/account"
	for command, want := range map[string]string{"maintain": "janitors", "points": "hosts"} {
		sent = nil
		mustFail(t, invoke(t, nil, nil, command, url, "--config", config), statusFailed, "access denied")
		if len(sent) != 1 || sent[0] != want {
			t.Errorf("%s sent %v, want %s", command, sent, want)
		}
	}
}
