// Package faulty puts faults between a program and its blob store, on demand
// and at a chosen call, so that a test can try each of them in turn.
//
// A Store counts the calls that it gets, each once, and asks its Plan what
// shall happen to this one. Without a plan it passes everything on, untouched.
// It adds no retries and hides no error of the store below.
//
// One call is: a put, a get, a stat, a listing that is ranged over, a delete, a look
// at the clock, and the reading of what a get has opened, which counts from its first byte
// and as one however many pieces it takes.
package faulty

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast/internal/blob"
)

// Op is a kind of call.
type Op string

// The kinds of calls.
const (
	Put    Op = "put"
	Get    Op = "get"
	Read   Op = "read" // of a body that Get has opened
	Stat   Op = "stat"
	List   Op = "list"
	Delete Op = "delete"
	Clock  Op = "clock"
)

// Call is one call that a Store has got.
type Call struct {
	Number int    // among all calls, from 1
	Op     Op     //
	Key    string // the prefix of a listing, the first key of a delete
	Fault  Kind   // what was done to it
}

// String returns the call as one line of a list.
func (c Call) String() string {
	if c.Fault == None {
		return fmt.Sprintf("%d %s %s", c.Number, c.Op, c.Key)
	}
	return fmt.Sprintf("%d %s %s: %s", c.Number, c.Op, c.Key, c.Fault)
}

// Store is a blob.Store above another one. Its methods are safe for concurrent
// use, a plan may be set at any time.
type Store struct {
	below blob.Store

	mu    sync.Mutex
	plan  Plan
	calls []Call
}

// New returns a Store without a plan.
func New(below blob.Store) *Store { return &Store{below: below} }

// Set makes p decide upon all calls from here on; nil lets them pass.
func (s *Store) Set(p Plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plan = p
}

// Calls returns all calls so far, in the order in which they began.
func (s *Store) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Failed returns those calls that something was done to.
func (s *Store) Failed() []Call {
	return slices.DeleteFunc(s.Calls(), func(c Call) bool { return c.Fault == None })
}

// begin counts a call and returns what shall happen to it.
func (s *Store) begin(op Op, key string) (Call, Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := Call{Number: len(s.calls) + 1, Op: op, Key: key}
	var f Fault
	if s.plan != nil {
		f = s.plan(c)
	}
	if !f.Kind.Applies(op) {
		f = Fault{}
	}
	c.Fault = f.Kind
	s.calls = append(s.calls, c)
	return c, f
}

// Put implements blob.Store.
func (s *Store) Put(ctx context.Context, key string, body io.Reader, meta blob.Metadata) (int64, error) {
	c, f := s.begin(Put, key)
	if err := f.before(ctx, c); err != nil {
		return 0, err
	}
	switch f.Kind {
	case BreakOff:
		return 0, swallow(ctx, c, body, f.After)
	case LoseAnswer:
		if _, err := s.below.Put(ctx, key, body, meta); err != nil && !errors.Is(err, blob.ErrExists) {
			return 0, err
		}
		return 0, unavailable(c)
	}
	return s.below.Put(ctx, key, body, meta)
}

// swallow takes the beginning of a body and stores nothing of it.
func swallow(ctx context.Context, c Call, body io.Reader, after int64) error {
	if _, err := io.CopyN(io.Discard, blob.NewBody(ctx, body), after); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("put %s: %w", c.Key, err)
	}
	return unavailable(c)
}

// Get implements blob.Store.
func (s *Store) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	c, f := s.begin(Get, key)
	if err := f.before(ctx, c); err != nil {
		return nil, err
	}
	b, err := s.below.Get(ctx, key, offset, length)
	if err != nil {
		return nil, err
	}
	return &body{ReadCloser: b, ctx: ctx, store: s, key: key}, nil
}

// body is what a get has opened.
type body struct {
	io.ReadCloser
	ctx   context.Context
	store *Store
	key   string
	begun bool
	call  Call
	fault Fault
	left  int64 // bytes until the reading breaks off
	err   error
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if !b.begun {
		b.begun = true
		b.call, b.fault = b.store.begin(Read, b.key)
		b.left = b.fault.After
		b.err = b.fault.before(b.ctx, b.call)
	}
	switch {
	case b.err != nil:
		return 0, b.err
	case b.fault.Kind != BreakOff:
		return b.ReadCloser.Read(p)
	case b.left == 0:
		b.err = unavailable(b.call)
		return 0, b.err
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if errors.Is(err, io.EOF) { // one that ends sooner breaks off there
		err = unavailable(b.call)
	}
	b.err = err
	return n, err
}

// Stat implements blob.Store.
func (s *Store) Stat(ctx context.Context, key string) (blob.Info, error) {
	c, f := s.begin(Stat, key)
	if err := f.before(ctx, c); err != nil {
		return blob.Info{}, err
	}
	return s.below.Stat(ctx, key)
}

// List implements blob.Store.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		c, f := s.begin(List, prefix)
		if err := f.before(ctx, c); err != nil {
			yield(blob.Info{}, err)
			return
		}
		left := f.After
		for info, err := range s.below.List(ctx, prefix) {
			if f.Kind == BreakOff && left == 0 {
				break
			}
			if left--; !yield(info, err) {
				return
			}
		}
		if f.Kind == BreakOff {
			yield(blob.Info{}, unavailable(c))
		}
	}
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	first := ""
	if len(keys) > 0 {
		first = keys[0]
	}
	c, f := s.begin(Delete, first)
	if err := f.before(ctx, c); err != nil {
		return err
	}
	if err := s.below.Delete(ctx, keys...); err != nil || f.Kind != LoseAnswer {
		return err
	}
	return unavailable(c)
}

// Clock implements blob.Store.
func (s *Store) Clock(ctx context.Context) (time.Time, error) {
	c, f := s.begin(Clock, "")
	if err := f.before(ctx, c); err != nil {
		return time.Time{}, err
	}
	return s.below.Clock(ctx)
}

// unavailable is what the caller of a call that was failed on purpose gets.
func unavailable(c Call) error {
	return fmt.Errorf("%w: call %s", blob.ErrUnavailable, c)
}

// wait returns after d, or with ctx's error when that ends first. Zero waits for
// ctx alone.
func wait(ctx context.Context, d time.Duration) error {
	var over <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
