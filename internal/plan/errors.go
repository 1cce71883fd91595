package plan

import (
	"errors"
	"fmt"

	"github.com/superfly/ltx"
)

// Why a target cannot be restored.
var (
	// ErrEmpty says that there is no file at all.
	ErrEmpty = errors.New("the replica holds nothing")
	// ErrTarget says that the replica does not keep the state asked for: it lies
	// before the first or after the last, or has been merged away.
	ErrTarget = errors.New("no such state in the replica")
	// ErrNoSnapshot says that the target is kept, but nothing to begin from.
	ErrNoSnapshot = errors.New("no file to begin from")
	// ErrGap says that files between the beginning and the target are missing.
	// The error that wraps it is a *GapError.
	ErrGap = errors.New("transactions are missing from the replica")
)

// GapError is an ErrGap with the range that no file covers.
type GapError struct {
	Min, Max ltx.TXID // missing, both inclusive
	Target   ltx.TXID // what was to be reached
}

// Error names the range and the last state before it.
func (e *GapError) Error() string {
	return fmt.Sprintf("%v: %s to %s, needed to reach %s; the last state before the gap is %s",
		ErrGap, e.Min, e.Max, e.Target, e.Min-1)
}

// Unwrap makes the error match ErrGap.
func (e *GapError) Unwrap() error { return ErrGap }
