package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/workflows/control"
)

func TestASignalToManyIsOneBatch(t *testing.T) {
	for _, row := range []struct {
		args  []string
		asked string
	}{
		{[]string{"pause", "--all", "--reason", "moving"}, "pause {Host: Query:} moving"},
		{[]string{"pause", "--host", "web-1"}, "pause {Host:web-1 Query:} "},
		{[]string{"resume", "--query", "a = 1 OR b = 2"}, "resume {Host: Query:a = 1 OR b = 2}"},
		{[]string{"resume", "--all"}, "resume {Host: Query:}"},
	} {
		f := &fakeFleet{batch: control.Batch{ID: "7", Matched: 3, Signalled: 3}}
		want := "signal " + row.args[0] + " sent to 3 databases, failed for 0; holdfast list shows how they are\n"
		if got := mustSucceed(t, invoke(t, f, nil, row.args...)); got != want {
			t.Errorf("%v: got %q, want %q", row.args, got, want)
		}
		if !slices.Equal(f.asked, []string{row.asked}) {
			t.Errorf("%v: asked %q, want %q", row.args, f.asked, row.asked)
		}
	}
}

func TestABatchInJSON(t *testing.T) {
	for _, b := range []control.Batch{{}, {ID: "7", Matched: 3, Signalled: 3}} {
		var got batched
		out := mustSucceed(t, invoke(t, &fakeFleet{batch: b}, nil, "pause", "--all", "-o", "json"))
		if err := json.Unmarshal([]byte(out), &got); err != nil || got != (batched{b.ID, b.Matched, b.Signalled, b.Failed}) {
			t.Errorf("got %s, want %+v", out, b)
		}
	}
}

func TestNoDatabaseMatches(t *testing.T) {
	if got := mustSucceed(t, invoke(t, &fakeFleet{}, nil, "resume", "--host", "web-9")); !strings.HasPrefix(got, "none: ") {
		t.Errorf("got %q", got)
	}
}

func TestABatchThatReachesNotAllHasFailed(t *testing.T) {
	f := &fakeFleet{batch: control.Batch{ID: "7", Matched: 3, Signalled: 1, Failed: 2}}
	got := invoke(t, f, nil, "pause", "--all")
	if got.status != statusFailed || !strings.HasPrefix(got.stdout, "signal pause sent to 1 databases, failed for 2; ") ||
		got.stderr != "holdfast: pause: 2 databases could not be signalled; pause them again, which changes nothing for the others\n" {
		t.Errorf("got %+v", got)
	}
}

func TestABatchGoesOnWhenNobodyWaits(t *testing.T) {
	for id, want := range map[string]string{
		"7": "interrupted, but the batch goes on in Temporal; see temporal batch describe --job-id 7\n",
		"":  "interrupted; nothing was changed\n",
	} {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		f := &fakeFleet{wait: true, batch: control.Batch{ID: id}}
		mustFail(t, invokeWithin(ctx, f, nil, "pause", "--all"), statusInterrupted, want)
	}
}
