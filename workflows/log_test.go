package workflows_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"go.temporal.io/sdk/log"
)

// testLog shows warnings and errors of a test that failed, and keeps the ids of
// messages that a workflow has handled.
type testLog struct {
	t       *testing.T
	over    *atomic.Bool // workers may log a moment longer than the test may be logged to
	handled *ids
}

func newLog(t *testing.T) testLog {
	l := testLog{t, &atomic.Bool{}, &ids{}}
	t.Cleanup(func() { l.over.Store(true) })
	return l
}

func (l testLog) Debug(msg string, kv ...any) { l.keep(msg, kv) }
func (l testLog) Info(msg string, kv ...any)  { l.keep(msg, kv) }
func (l testLog) Warn(msg string, kv ...any)  { l.show("WARN", msg, kv) }
func (l testLog) Error(msg string, kv ...any) { l.show("ERROR", msg, kv) }
func (l testLog) With(...any) log.Logger      { return l }

func (l testLog) show(level, msg string, kv []any) {
	if !l.over.Load() {
		l.t.Log(append([]any{level, msg}, kv...)...)
	}
}

func (l testLog) keep(msg string, kv []any) {
	if msg != "signal handled" && msg != "update handled" {
		return
	}
	for i := 0; i+1 < len(kv); i += 2 {
		if id, is := kv[i+1].(string); is && kv[i] == "id" {
			l.handled.add(id)
		}
	}
}

// ids are those of messages.
type ids struct {
	mu  sync.Mutex
	all []string
}

func (i *ids) add(id string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.all = append(i.all, id)
	return id
}

// without is what i has and other lacks.
func (i *ids) without(other *ids) (left []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	other.mu.Lock()
	defer other.mu.Unlock()
	there := map[string]bool{}
	for _, id := range other.all {
		there[id] = true
	}
	for _, id := range i.all {
		if !there[id] {
			left = append(left, id)
		}
	}
	return left
}
