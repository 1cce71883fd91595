package azure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"

	"github.com/holdfast-db/holdfast/internal/blob"
)

// explain maps an error of the SDK to the sentinels of package blob, in one
// line. It does not wrap err: the SDK's errors hold requests and their
// addresses. ctx is the caller's; its own end passes through.
func (s *Store) explain(ctx context.Context, op, key string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("store: %s: %w", strings.TrimSpace(op+" "+key), ctx.Err())
	}
	var answer *azcore.ResponseError
	if errors.As(err, &answer) {
		return s.explainAnswer(op, key, answer)
	}
	var token *tokenError
	var network net.Error
	if errors.As(err, &token) && !errors.As(token.err, &network) {
		return s.fail(op, key, blob.ErrDenied, token.Error())
	}
	return s.fail(op, key, blob.ErrUnavailable, reason(err))
}

func (s *Store) explainAnswer(op, key string, answer *azcore.ResponseError) error {
	code := cmp.Or(answer.ErrorCode, strconv.Itoa(answer.StatusCode))
	kind := kindOf(answer.StatusCode, bloberror.Code(answer.ErrorCode))
	err := s.fail(op, key, kind, code)
	if errors.Is(kind, blob.ErrThrottled) {
		return &blob.ThrottledError{RetryAfter: retryAfter(answer.RawResponse), Err: err}
	}
	return err
}

// kindOf decides by the code, which is the more exact one, then by the status.
// No kind: an answer that nobody decides upon.
func kindOf(status int, code bloberror.Code) error {
	switch code {
	case bloberror.BlobNotFound:
		return blob.ErrNotFound
	case bloberror.ContainerBeingDeleted:
		return blob.ErrNoContainer
	case bloberror.BlobAlreadyExists, bloberror.ConditionNotMet:
		return blob.ErrExists
	case bloberror.MD5Mismatch: // damaged on the way
		return blob.ErrUnavailable
	case bloberror.ServerBusy, bloberror.OperationTimedOut:
		return blob.ErrThrottled
	}
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return blob.ErrDenied
	case status == http.StatusNotFound:
		// ContainerNotFound, no such account, or not a blob service at all. None
		// may look like a missing object: an empty replica is written to.
		return blob.ErrNoContainer
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		return blob.ErrThrottled
	case status >= 500, status == http.StatusRequestTimeout:
		return blob.ErrUnavailable
	}
	return nil
}

// fail builds the one line: what was attempted, what it met where, what to do.
func (s *Store) fail(op, key string, kind error, detail string) error {
	e := &storeError{kind: kind}
	where := fmt.Sprintf("container %s of account %s", s.url.Container, s.account)
	if s.account == "" {
		where = fmt.Sprintf("container %s at %s", s.url.Container, s.url.Endpoint)
	}
	what, todo := "unexpected answer from "+where, ""
	switch kind {
	case blob.ErrDenied: //nolint:errorlint // kind is one of the sentinels themselves
		what, todo = kind.Error()+" to "+where, s.hint
	case blob.ErrNoContainer:
		what, todo = kind.Error()+": "+where, "create it, or check the replica URL"
	case blob.ErrUnavailable:
		what, todo = kind.Error()+": "+where, "check the replica URL, and that this host reaches the store"
	case blob.ErrThrottled:
		what = kind.Error() + ": " + where
	case blob.ErrNotFound, blob.ErrExists:
		what, detail = kind.Error()+" in "+where, ""
	}
	e.text = "store: " + strings.TrimSpace(op+" "+key) + ": " + what
	if detail != "" {
		e.text += " (" + detail + ")"
	}
	if todo != "" {
		e.text += "; " + todo
	}
	return e
}

// storeError is a line of text with a sentinel, and nothing else.
type storeError struct {
	text string
	kind error
}

func (e *storeError) Error() string { return e.text }
func (e *storeError) Unwrap() error { return e.kind }

// reason says in a few words why no answer came. It looks below url.Error, which
// would print the address.
func reason(err error) string {
	var address *url.Error
	for errors.As(err, &address) {
		err = address.Err
	}
	var dns *net.DNSError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, errStalled):
		return "no answer in time"
	case errors.As(err, &dns) && dns.IsNotFound:
		return "no such host " + dns.Name
	}
	text := strings.Join(strings.Fields(err.Error()), " ")
	if len(text) > 200 || strings.Contains(text, "sig=") {
		return "no usable answer"
	}
	return text
}

// retryAfter reads how long the service asks to be left alone, 0 if it does not.
func retryAfter(resp *http.Response) time.Duration {
	if resp == nil {
		return 0
	}
	for _, name := range []string{"Retry-After-Ms", "X-Ms-Retry-After-Ms"} {
		if ms, err := strconv.Atoi(resp.Header.Get(name)); err == nil {
			return time.Duration(max(ms, 0)) * time.Millisecond
		}
	}
	after := resp.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(after); err == nil {
		return time.Duration(max(seconds, 0)) * time.Second
	}
	if at, err := http.ParseTime(after); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}
