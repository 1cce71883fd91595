package azure_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// proxy stands between a store and Azurite, writes down what is asked and may
// spoil the answers.
type proxy struct {
	azurite
	forward http.Handler
	spoil   func(p *proxy, op string, w http.ResponseWriter, r *http.Request)

	mu  sync.Mutex
	ops []string
}

// mustProxy returns a proxy for which spoil answers; it may forward.
func mustProxy(t *testing.T, spoil func(p *proxy, op string, w http.ResponseWriter, r *http.Request)) *proxy {
	t.Helper()
	p := &proxy{azurite: mustAzurite(t), spoil: spoil}
	target, err := url.Parse(p.url.Endpoint)
	require.NoError(t, err)
	account := target.Path
	target.Path = ""
	p.forward = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.URL.RawPath = r.In.URL.RawPath
	}}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.url.Endpoint = server.URL + account
	return p
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	op := operation(r)
	p.mu.Lock()
	p.ops = append(p.ops, op)
	p.mu.Unlock()
	p.spoil(p, op, w, r)
}

// times says how often op was asked for.
func (p *proxy) times(op string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, have := range p.ops {
		if have == op {
			n++
		}
	}
	return n
}

func operation(r *http.Request) string {
	comp := r.URL.Query().Get("comp")
	switch {
	case comp == "block":
		return "stage"
	case comp == "blocklist":
		return "commit"
	case comp != "":
		return comp // list, batch
	}
	return strings.ToLower(r.Method) // put, get, head, delete
}

// pass forwards whatever comes.
func pass(p *proxy, _ string, w http.ResponseWriter, r *http.Request) { p.forward.ServeHTTP(w, r) }

// loseAnswer lets Azurite carry out the first op and then cuts the connection.
func loseAnswer(op string) func(p *proxy, op string, w http.ResponseWriter, r *http.Request) {
	return func(p *proxy, got string, w http.ResponseWriter, r *http.Request) {
		if got != op || p.times(op) > 1 {
			pass(p, got, w, r)
			return
		}
		p.forward.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}
}

// answer gives a status and an error code, as the service does.
func answer(w http.ResponseWriter, r *http.Request, status int, code string) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("X-Ms-Error-Code", code)
	w.WriteHeader(status)
}
