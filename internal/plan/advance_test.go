package plan_test

import (
	"errors"
	"testing"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/plan"
)

func TestAdvance(t *testing.T) {
	for _, tc := range []struct {
		name    string
		have    string
		from    ltx.TXID
		want    string
		wantErr error
	}{
		{name: "nothing newer", have: "s:1-4 0:5-5", from: 5},
		{name: "the next ones", have: "0:1-1 0:2-2 0:3-3 0:4-4", from: 2, want: "0:3-3 0:4-4"},
		{name: "a merged one", have: "0:1-1 0:2-2 1:3-6 0:7-7", from: 2, want: "1:3-6 0:7-7"},
		{name: "a merged one that begins earlier", have: "s:1-1 1:2-6", from: 4, want: "1:2-6"},
		{name: "a snapshot where there is no other way", have: "s:1-9*100 0:10-10", from: 4, want: "s:1-9 0:10-10"},
		{name: "a snapshot where it is less", have: "s:1-6*3 0:5-5*2 0:6-6*2", from: 4, want: "s:1-6"},
		{name: "no snapshot where it is more", have: "s:1-6*5 0:5-5*2 0:6-6*2", from: 4, want: "0:5-5 0:6-6"},
		{name: "another page size", have: "0:1-1 0:2-2 s:1-3 0:4-4", from: 2, want: "s:1-3 0:4-4"},
		{name: "a gap", have: "s:1-4 0:7-7", from: 4, wantErr: plan.ErrGap},
		{name: "a replica that ends earlier", have: "s:1-4 0:5-5", from: 6, wantErr: plan.ErrTarget},
		{name: "an empty one", have: "", from: 6, wantErr: plan.ErrEmpty},
	} {
		t.Run(tc.name, func(t *testing.T) {
			chain, err := plan.Advance(mustParse(t, tc.have), tc.from)
			if got := format(chain); got != tc.want || !errors.Is(err, tc.wantErr) {
				t.Errorf("got %q, %v; want %q, %v", got, err, tc.want, tc.wantErr)
			}
		})
	}
}
