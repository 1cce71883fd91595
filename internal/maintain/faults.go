package maintain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/replica"
)

const (
	// inARow is how many requests for different objects fail before the store counts as
	// away, and no more are sent.
	inARow = 3

	// told is how many faults are named; of the rest it is said how many there are.
	told = 8
)

// faults gathers what went wrong with single objects while the others went on.
type faults struct {
	ctx   context.Context
	all   []error
	row   int
	ended bool
}

func newFaults(ctx context.Context) *faults { return &faults{ctx: ctx} }

// add notes how one object fared; nil is well.
func (f *faults) add(err error) {
	if err == nil {
		f.row = 0
		return
	}
	f.all = append(f.all, err)
	if errors.Is(err, replica.ErrDamaged) { // the store answers
		f.row = 0
		return
	}
	f.row++
	for _, final := range []error{blob.ErrDenied, blob.ErrNoContainer, blob.ErrConfig, blob.ErrThrottled} {
		f.ended = f.ended || errors.Is(err, final)
	}
}

// hopeless tells whether it makes no sense to go on with other objects.
func (f *faults) hopeless() bool { return f.ended || f.row >= inARow || f.ctx.Err() != nil }

// err returns all of them in one, or nil.
func (f *faults) err() error {
	if len(f.all) == 0 {
		return f.ctx.Err()
	}
	err := join(f.all[:min(told, len(f.all))]...)
	if rest := len(f.all) - told; rest > 0 {
		err = fmt.Errorf("%w; and %d more", err, rest)
	}
	return err
}

// joined are several errors in one line.
type joined []error

// join is errors.Join, but for the lines.
func join(errs ...error) error {
	errs = slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return err == nil })
	switch len(errs) {
	case 0:
		return nil
	case 1:
		return errs[0]
	}
	return joined(errs)
}

func (j joined) Error() string {
	var texts []string
	for _, err := range j {
		texts = append(texts, err.Error())
	}
	return strings.Join(texts, "; also: ")
}

func (j joined) Unwrap() []error { return j }
