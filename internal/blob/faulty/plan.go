package faulty

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-db/holdfast/internal/blob"
)

// Kind says what goes wrong.
type Kind uint8

// The kinds of faults.
const (
	None       Kind = iota
	Refuse          // blob.ErrUnavailable at once, nothing is done
	TimeOut         // the same after Wait, or sooner with ctx's error when that ends
	Throttle        // a blob.ThrottledError that asks for Wait, nothing is done
	Slow            // after Wait all goes well
	LoseAnswer      // it is done or refused by the store, and the caller gets blob.ErrUnavailable
	BreakOff        // blob.ErrUnavailable in the middle, After bytes or entries on
)

// Kinds are all faults, for tests that try each.
var Kinds = []Kind{Refuse, TimeOut, Throttle, Slow, LoseAnswer, BreakOff}

var kindNames = [...]string{"none", "refused", "timed out", "throttled", "slow", "answer lost", "broken off"}

// String names what has happened to a call.
func (k Kind) String() string { return kindNames[k] }

// Applies tells whether k can happen to a call. An answer that gets lost is a
// fault of its own only where something was changed; nothing can break off in
// the middle but the upload of a put, a download, and a listing.
func (k Kind) Applies(op Op) bool {
	switch k {
	case LoseAnswer:
		return op == Put || op == Delete
	case BreakOff:
		return op == Put || op == Read || op == List
	case Throttle:
		return op != Read
	}
	return k != None
}

// Fault is what happens to one call. The zero Fault is none.
type Fault struct {
	Kind Kind
	Wait time.Duration // of TimeOut (zero: until ctx ends), Throttle and Slow

	// After is how much gets through before a BreakOff: bytes of an upload, which
	// leaves nothing under its key, or of a download, or entries of a listing.
	// What is shorter breaks off at its end.
	After int64
}

// before does what happens ahead of the call. An error ends it.
func (f Fault) before(ctx context.Context, c Call) error {
	switch f.Kind {
	case Refuse:
		return unavailable(c)
	case Throttle:
		return &blob.ThrottledError{RetryAfter: f.Wait, Err: fmt.Errorf("%w: call %s", blob.ErrThrottled, c)}
	case TimeOut, Slow:
		if f.Kind == Slow && f.Wait == 0 {
			return nil
		}
		if err := wait(ctx, f.Wait); err != nil {
			return fmt.Errorf("call %s: %w", c, err)
		}
		if f.Kind == TimeOut {
			return unavailable(c)
		}
	}
	return nil
}

// Plan decides what happens to a call. A Store asks it once for each, one at a
// time, in order; so it may count. A fault that does not apply to the call is
// none.
type Plan func(Call) Fault

// Always plans f for each call that it applies to.
func Always(f Fault) Plan { return func(Call) Fault { return f } }

// Nth plans f for the n-th of the calls, from 1, that it applies to; if kinds
// are given, of those calls alone. It counts from when it is first asked.
func Nth(n int, f Fault, kinds ...Op) Plan {
	return func(c Call) Fault {
		if !f.Kind.Applies(c.Op) || len(kinds) > 0 && !slices.Contains(kinds, c.Op) {
			return Fault{}
		}
		if n--; n == 0 {
			return f
		}
		return Fault{}
	}
}

// Script plans what the first of several plans says that has something to say.
// Each of them is asked for each call.
func Script(plans ...Plan) Plan {
	return func(c Call) (first Fault) {
		for _, p := range plans {
			if f := p(c); first.Kind == None && f.Kind.Applies(c.Op) {
				first = f
			}
		}
		return first
	}
}
