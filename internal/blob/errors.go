package blob

import (
	"errors"
	"time"
)

// What a caller decides upon. Drivers wrap these; messages name the store, the
// key and what the store said, and end with what to do where a person can help.
var (
	ErrExists      = errors.New("object exists")
	ErrNotFound    = errors.New("object not found")
	ErrNoContainer = errors.New("container does not exist")
	ErrDenied      = errors.New("access denied")
	ErrUnavailable = errors.New("store unavailable")
	ErrThrottled   = errors.New("store asks to slow down")
	// ErrConfig says that the URL, the credentials or the tier cannot name a
	// store; no request was sent.
	ErrConfig = errors.New("replica settings")
	// ErrInvalid says that a key or metadata breaks the rules that all drivers
	// share: a mistake of the program, not of its user.
	ErrInvalid = errors.New("invalid object")
)

// ThrottledError is an ErrThrottled with the wait that the store asked for.
type ThrottledError struct {
	RetryAfter time.Duration // zero when the store named none
	Err        error
}

// Error returns the driver's message.
func (e *ThrottledError) Error() string { return e.Err.Error() }

// Unwrap makes the error match ErrThrottled and what the driver wrapped.
func (e *ThrottledError) Unwrap() []error { return []error{ErrThrottled, e.Err} }

// RetryAfter returns the wait that a throttling store asked for.
func RetryAfter(err error) (time.Duration, bool) {
	var t *ThrottledError
	if errors.As(err, &t) && t.RetryAfter > 0 {
		return t.RetryAfter, true
	}
	return 0, false
}
