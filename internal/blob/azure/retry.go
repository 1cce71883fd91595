package azure

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

const (
	tries       = 3
	dialTimeout = 3 * time.Second // three of them and the pauses are about 10 s
	firstByte   = 9 * time.Second // of an answer, once all was sent; three of them are under 30 s
	slowestLink = 64 << 10        // bytes per second for one request; slower ones never succeed
)

// Variables for tests alone.
var (
	answerTime = 4 * time.Second  // for a request without content
	stallTime  = 15 * time.Second // without a byte of a download
)

// retry bounds a request that sends or receives up to size bytes. A store that
// cannot be reached is given up by the dialer, long before a large block's time.
func retry(size int64) policy.RetryOptions {
	return policy.RetryOptions{
		MaxRetries:    tries - 1,
		RetryDelay:    200 * time.Millisecond,
		MaxRetryDelay: 2 * time.Second, // a longer Retry-After goes to the caller at once
		TryTimeout:    answerTime + time.Duration(size/slowestLink)*time.Second,
	}
}

// withSize is ctx for a request that sends or receives up to size bytes.
func withSize(ctx context.Context, size int64) context.Context {
	return policy.WithRetryOptions(ctx, retry(size))
}

// withoutTimeout is ctx for a download, whose body counts into the SDK's timeout
// for a try and may be long or read slowly. Its reader looks after stalls.
func withoutTimeout(ctx context.Context) context.Context {
	options := retry(0)
	options.TryTimeout = 0
	return policy.WithRetryOptions(ctx, options)
}

// transport is shared by all stores of the process.
var transport = &http.Transport{
	Proxy:                 http.ProxyFromEnvironment,
	DialContext:           (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext,
	TLSHandshakeTimeout:   dialTimeout,
	ResponseHeaderTimeout: firstByte,
	ExpectContinueTimeout: time.Second,
	MaxIdleConns:          2 * callsAtOnce,
	MaxIdleConnsPerHost:   callsAtOnce,
	IdleConnTimeout:       90 * time.Second,
	ForceAttemptHTTP2:     true,
	DisableCompression:    true,
}

// tokenSource marks the errors of an identity, which are no answers of the
// store.
type tokenSource struct{ azcore.TokenCredential }

// GetToken implements azcore.TokenCredential.
func (s tokenSource) GetToken(ctx context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, err := s.TokenCredential.GetToken(ctx, options)
	if err != nil {
		return token, &tokenError{err}
	}
	return token, nil
}

type tokenError struct{ err error }

func (e *tokenError) Error() string { return "no token for this machine's identity" }
func (e *tokenError) Unwrap() error { return e.err }
