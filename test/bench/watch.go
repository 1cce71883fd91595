package main

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"
)

// prefixSize is how much is kept of an object, in bytes: more than the LTX
// header and two pages take.
const prefixSize = 16 << 10

// put is one object that the store has taken.
type put struct {
	key      string
	at       time.Time // when the answer was handed back
	size     int64
	mark     uint64 // number of the newest transaction in it; 0 if it does not tell
	snapshot bool   // holds all pages
}

// watch is a proxy in front of the store that notes what is put through it.
type watch struct {
	url    string
	away   time.Duration
	server *httptest.Server

	mu     sync.Mutex
	puts   []put
	blocks map[string]*recorder // by key and block id, uncommitted
	told   chan struct{}        // closed at the next put
}

// newWatch begins to forward to the store at target, which is away away.
func newWatch(target string, away time.Duration) (*watch, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	w := &watch{away: away, blocks: map[string]*recorder{}, told: make(chan struct{})}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = u.Scheme, u.Host, u.Host
		},
		Transport:      &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true, WriteBufferSize: 64 << 10},
		BufferPool:     &buffers{},
		ModifyResponse: w.answered,
		ErrorHandler:   func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	w.server = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		time.Sleep(w.away / 2)
		if r.Method == http.MethodPut {
			body := &recorder{ReadCloser: r.Body, all: r.URL.Query().Get("comp") == "blocklist"}
			r = r.WithContext(context.WithValue(r.Context(), recorderKey{}, body))
			if r.ContentLength != 0 {
				r.Body = body
			}
		}
		forward.ServeHTTP(out, r)
	}))
	w.url = w.server.URL + u.Path
	return w, nil
}

func (w *watch) close() {
	w.server.CloseClientConnections()
	w.server.Close()
}

// recorder keeps the beginning of a request's body.
type recorder struct {
	io.ReadCloser
	all    bool // keep everything
	prefix []byte
	size   int64
}

type recorderKey struct{}

// Read implements io.Reader.
func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.size += int64(n)
	if keep := prefixSize - len(r.prefix); keep > 0 || r.all {
		if !r.all {
			keep = min(keep, n)
		} else {
			keep = n
		}
		r.prefix = append(r.prefix, p[:keep]...)
	}
	return n, err
}

// answered notes what the store has taken, when its answer has come back.
func (w *watch) answered(answer *http.Response) error {
	time.Sleep(w.away - w.away/2)
	r := answer.Request
	body, ok := r.Context().Value(recorderKey{}).(*recorder)
	if !ok || answer.StatusCode != http.StatusCreated {
		return nil
	}
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	key := r.URL.Path
	switch r.URL.Query().Get("comp") {
	case "block":
		w.blocks[key+"?"+r.URL.Query().Get("blockid")] = body
	case "blocklist":
		return w.committed(key, body.prefix, now)
	case "":
		w.note(key, body.prefix, body.size, now)
	}
	return nil
}

// committed notes an object that its block list has made.
func (w *watch) committed(key string, list []byte, at time.Time) error {
	var l struct {
		Latest      []string `xml:"Latest"`
		Uncommitted []string `xml:"Uncommitted"`
	}
	if err := xml.Unmarshal(list, &l); err != nil {
		return fmt.Errorf("block list of %s: %w", key, err)
	}
	var prefix []byte
	var size int64
	for i, id := range append(l.Latest, l.Uncommitted...) {
		block, ok := w.blocks[key+"?"+id]
		if !ok {
			return fmt.Errorf("block list of %s has a block that was not seen", key)
		}
		delete(w.blocks, key+"?"+id)
		if i == 0 {
			prefix = block.prefix
		}
		size += block.size
	}
	w.note(key, prefix, size, at)
	return nil
}

// note adds an object; a copy inside the store has no bytes and is none.
func (w *watch) note(key string, prefix []byte, size int64, at time.Time) {
	if size == 0 || path.Ext(key) != ".ltx" {
		return
	}
	p := put{key: key, at: at, size: size}
	p.mark, p.snapshot = look(prefix)
	w.puts = append(w.puts, p)
	close(w.told)
	w.told = make(chan struct{})
}

// all returns what has been put so far, and a channel that is closed at the next
// put.
func (w *watch) all() (puts []put, next <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.puts[:len(w.puts):len(w.puts)], w.told
}

// String lists what has been put.
func (w *watch) String() string {
	var b strings.Builder
	puts, _ := w.all()
	for _, o := range puts {
		fmt.Fprintf(&b, "%s %s %d bytes, transaction %d\n", o.at.UTC().Format("15:04:05.000"), o.key, o.size, o.mark)
	}
	return b.String()
}

// durable waits until the transaction number mark is in the store, while p runs,
// and returns since when it is.
func (w *watch) durable(ctx context.Context, p *process, mark uint64, within time.Duration) (time.Time, error) {
	return w.await(ctx, p, within, fmt.Sprintf("transaction %d", mark), func(o put) bool { return o.mark >= mark })
}

// snapshot waits for the first object that holds all pages.
func (w *watch) snapshot(ctx context.Context, p *process, within time.Duration) (time.Time, error) {
	return w.await(ctx, p, within, "a first snapshot", func(o put) bool { return o.snapshot })
}

func (w *watch) await(ctx context.Context, p *process, within time.Duration, what string, is func(put) bool) (time.Time, error) {
	late := time.After(within)
	for {
		puts, next := w.all()
		for _, o := range puts {
			if is(o) {
				return o.at, nil
			}
		}
		select {
		case <-next:
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		case <-p.done:
			return time.Time{}, p.ended()
		case <-late:
			return time.Time{}, fmt.Errorf("%s has not put %s within %v; %d objects were put", p.name(), what, within, len(puts))
		}
	}
}

// buffers lends buffers for copying.
type buffers struct{ pool sync.Pool }

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 128<<10)
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(p []byte) { b.pool.Put(&p) }

// rate returns how many objects were put in a second of span, and their mean size in
// bytes.
func (w *watch) rate(span time.Duration) (puts, size float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.puts {
		size += float64(p.size)
	}
	n := float64(len(w.puts))
	return n / span.Seconds(), size / max(n, 1)
}
