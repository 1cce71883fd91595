package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/internal/config"
)

func TestATuningFollowsFromTheNumberOfDatabases(t *testing.T) {
	for _, row := range []struct {
		databases int
		set       config.Tuning
		want      tuning
	}{
		{databases: 0, want: tuning{windows: 100_000, control: 16, restores: 2, pollers: 5, stopTimeout: 20 * time.Second, wakes: 50, beats: 25}},
		{databases: 1, want: tuning{windows: 100_001, control: 16, restores: 2, pollers: 5, stopTimeout: 20*time.Second + 10*time.Millisecond, wakes: 50, beats: 25}},
		{databases: 1000, want: tuning{windows: 101_000, control: 100, restores: 2, pollers: 5, stopTimeout: 30 * time.Second, wakes: 50, beats: 25}},
		{databases: 3600, want: tuning{windows: 103_600, control: 100, restores: 2, pollers: 6, stopTimeout: 50 * time.Second, wakes: 60, beats: 25}},
		{databases: 100_000, want: tuning{windows: 200_000, control: 100, restores: 2, pollers: 8, stopTimeout: 50 * time.Second, wakes: 80, beats: 25}},
		{databases: 1000, set: config.Tuning{Windows: 1, Control: 2, Restores: 3, Pollers: 4, StopTimeout: 5 * time.Second, Heartbeat: 6 * time.Second, WakesPerSecond: 7}, want: tuning{windows: 1, control: 2, restores: 3, pollers: 4, stopTimeout: 5 * time.Second, wakes: 7, beat: 6 * time.Second, beats: 25}},
		{databases: 1000, set: config.Tuning{HeartbeatsPerSecond: 8}, want: tuning{windows: 101_000, control: 100, restores: 2, pollers: 5, stopTimeout: 30 * time.Second, wakes: 50, beats: 8}},
		{databases: 1000, set: config.Tuning{WakesPerSecond: 1}, want: tuning{windows: 101_000, control: 100, restores: 2, pollers: 1, stopTimeout: 30 * time.Second, wakes: 1, beats: 25}},
	} {
		if got := tune(row.databases, row.set); got != row.want {
			t.Errorf("%d databases, %+v set:\ngot  %+v\nwant %+v", row.databases, row.set, got, row.want)
		}
	}
}

func TestHeartbeatsStayWithinTheirBudgetAndKeepEachWindowAlive(t *testing.T) {
	for _, row := range []struct {
		windows int
		set     config.Tuning
		timeout string
		want    string
	}{
		{windows: 1, timeout: "60s", want: "10s"},
		{windows: 250, timeout: "60s", want: "10s"},
		{windows: 500, timeout: "60s", want: "20s"},
		{windows: 1000, timeout: "60s", want: "40s"},
		{windows: 100_000, timeout: "60s", want: "40s"},
		{windows: 100_000, timeout: "3h", want: "1h6m40s"},
		{windows: 1, timeout: "2s", want: "1s"},
		{windows: 1, timeout: "1s", want: "666.666666ms"},
		{windows: 1, set: config.Tuning{Heartbeat: 40 * time.Second}, timeout: "60s", want: "40s"},
		{windows: 1000, set: config.Tuning{Heartbeat: time.Second}, timeout: "60s", want: "1s"},
		{windows: 1, set: config.Tuning{Heartbeat: 40 * time.Second}, timeout: "30s", want: "20s"},
		{windows: 100, set: config.Tuning{HeartbeatsPerSecond: 5}, timeout: "60s", want: "20s"},
		{windows: 100, set: config.Tuning{HeartbeatsPerSecond: 1000}, timeout: "60s", want: "10s"},
	} {
		timeout, err := time.ParseDuration(row.timeout)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(tune(row.windows, row.set).beatEvery(row.windows, timeout)); got != row.want {
			t.Errorf("%d windows that die after %s, %+v set: one in %s, want %s", row.windows, row.timeout, row.set, got, row.want)
		}
	}
}

// Whatever is derived is what the settings would accept.
func TestADerivedTuningIsInOrder(t *testing.T) {
	for _, databases := range []int{0, 1, 59, 1000, 1_000_000} {
		d := tune(databases, config.Tuning{})
		if d.windows < databases || d.control <= 0 || d.restores <= 0 || d.pollers <= 0 || d.wakes <= 0 || d.stopTimeout+closeWithin+tellWithin > 90*time.Second {
			t.Errorf("%d databases: %+v", databases, d)
		}
		for timeout := time.Second; timeout <= time.Hour; timeout += 7 * time.Second {
			if every := d.beatEvery(databases, timeout); every <= 0 || every > timeout*2/3 {
				t.Errorf("%d windows that die after %v send one heartbeat in %v", databases, timeout, every)
			}
		}
	}
}

// TestTheTuningIsDocumented looks for what is derived in docs/operations.md.
func TestTheTuningIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 250, 1000, 10_000} {
		d := tune(n, config.Tuning{})
		row := fmt.Sprintf("| %s | %s | %d | %d | %d | %v | %d | %v |", grouped(n), grouped(d.windows), d.control, d.restores, d.pollers,
			d.stopTimeout.Round(time.Second), d.wakes, d.beatEvery(n, time.Minute))
		if !strings.Contains(string(text), "\n"+row+"\n") {
			t.Errorf("not documented: %s", row)
		}
	}
}

// grouped writes n as people do.
func grouped(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", grouped(n/1000), n%1000)
}
