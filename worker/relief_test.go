package main

import "testing"

func TestMemoryIsGivenBackWhenDatabasesHaveComeToRest(t *testing.T) {
	var r relief
	for i, step := range []struct {
		resting, all int
		due          bool
	}{
		{0, 0, false},
		{0, 1000, false},
		{850, 1000, false},
		{850, 1000, false}, // not most of them
		{990, 1000, false}, // more and more
		{1000, 1000, false},
		{1000, 1000, true},
		{1000, 1000, false}, // nothing new
		{999, 1000, false},
		{1000, 1000, false},
		{1000, 1000, false}, // one woke and rests again
		{400, 1000, false},
		{1000, 1000, false},
		{1000, 1000, true},
	} {
		if got := r.due(step.resting, step.all); got != step.due {
			t.Errorf("step %d, %d of %d at rest: due %v, want %v", i, step.resting, step.all, got, step.due)
		}
	}
}

func TestOneDatabaseAtRestIsEnough(t *testing.T) {
	var r relief
	r.due(1, 1)
	if !r.due(1, 1) {
		t.Error("memory is not given back")
	}
}
