// Package proxy stands between a worker and its store, so that tests can look at
// a request, hold it, or lose its answer.
package proxy

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// Hook is called around each request. Returning false ends the connection
// without an answer.
type Hook func(*http.Request) bool

// Proxy forwards requests to a store.
type Proxy struct {
	URL string // with the path of the store's URL

	mu            sync.Mutex
	before, after Hook
}

// Start begins to forward to the store at target until the test ends.
func Start(t testing.TB, target string) *Proxy {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = u.Scheme, u.Host
			r.Out.Host = u.Host
		},
		ModifyResponse: func(r *http.Response) error {
			if hook := p.hook(&p.after); hook != nil && !hook(r.Request) {
				return errLost
			}
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hook := p.hook(&p.before); hook != nil && !hook(r) {
			panic(http.ErrAbortHandler)
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	p.URL = server.URL + u.Path
	return p
}

type lost struct{}

func (lost) Error() string { return "answer lost" }

var errLost = lost{}

func (p *Proxy) hook(h *Hook) Hook {
	p.mu.Lock()
	defer p.mu.Unlock()
	return *h
}

// Before calls hook before a request is forwarded; nil ends that.
func (p *Proxy) Before(hook Hook) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before = hook
}

// After calls hook when the store has answered and the caller does not know yet.
func (p *Proxy) After(hook Hook) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.after = hook
}
