package telemetry

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

// timeFormat is RFC 3339 with milliseconds, for times in UTC.
const timeFormat = "2006-01-02T15:04:05.000Z"

// textHandler writes lines such as
//
//	2026-03-01T09:30:00.125Z INFO  shipped  db=shop txid=12 took_ms=3
type textHandler struct {
	out    *output
	least  slog.Level
	prefix string // of keys: the open groups, each with a dot
	attrs  string // written out already
}

// output is shared by a handler and all that come from it.
type output struct {
	mu sync.Mutex
	w  io.Writer
}

// Enabled says whether level is high enough.
func (h *textHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.least }

// Handle writes r as one line.
func (h *textHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	if !r.Time.IsZero() {
		b.WriteString(r.Time.UTC().Format(timeFormat))
		b.WriteByte(' ')
	}
	level := r.Level.String()
	b.WriteString(level)
	b.WriteString(strings.Repeat(" ", max(0, len("ERROR")-len(level))+1))
	b.WriteString(strings.Join(strings.Fields(r.Message), " "))
	b.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		appendAttr(&b, h.prefix, a)
		return true
	})
	b.WriteByte('\n')
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	_, err := io.WriteString(h.out.w, b.String())
	return err
}

// WithAttrs returns a handler whose lines have attrs too.
func (h *textHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	for _, a := range attrs {
		appendAttr(&b, h.prefix, a)
	}
	next := *h
	next.attrs += b.String()
	return &next
}

// WithGroup returns a handler that puts name and a dot before later keys.
func (h *textHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	next := *h
	next.prefix += name + "."
	return &next
}

func appendAttr(b *strings.Builder, prefix string, a slog.Attr) {
	a.Value = a.Value.Resolve()
	if a.Equal(slog.Attr{}) {
		return
	}
	if a.Value.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, member := range a.Value.Group() {
			appendAttr(b, prefix, member)
		}
		return
	}
	b.WriteByte(' ')
	b.WriteString(prefix + a.Key)
	b.WriteByte('=')
	b.WriteString(quoted(valueText(a.Value)))
}

func valueText(v slog.Value) string {
	if v.Kind() == slog.KindTime {
		return v.Time().UTC().Format(time.RFC3339Nano)
	}
	return v.String()
}

// quoted quotes s where it would not read as one word.
func quoted(s string) string {
	plain := s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || r == '"' || r == '=' || !unicode.IsPrint(r)
	})
	if plain {
		return s
	}
	return strconv.Quote(s)
}
