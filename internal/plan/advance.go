package plan

import "github.com/superfly/ltx"

// Advance returns the chain of files with the fewest bytes that leads from the state at
// TXID from to the newest one, in the order in which they are applied; none when from is
// that. A file with all pages leads from any state. An error that matches ErrEmpty,
// ErrTarget or ErrGap says why there is no chain.
func Advance(files []File, from ltx.TXID) ([]File, error) {
	last, err := Target{}.resolve(files)
	if err != nil {
		return nil, err
	}
	if last < from {
		return nil, checkTXID(files, from)
	}
	usable := make([]File, 0, len(files))
	for _, f := range files {
		if f.Max > from && f.Min >= 1 && f.Min <= f.Max {
			usable = append(usable, f)
		}
	}
	chain, reached := cheapestFrom(usable, from)
	if reached != last {
		return nil, &GapError{Min: reached + 1, Max: nextAfter(usable, reached) - 1, Target: last}
	}
	return chain, nil
}
