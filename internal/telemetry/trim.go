package telemetry

import (
	"context"
	"log/slog"
	"slices"
)

// Trim returns a handler for a library that says too much: records with one of
// the messages become Debug, and attributes with one of the keys are left out.
func Trim(h slog.Handler, messages, keys []string) slog.Handler {
	return &trimmer{Handler: h, messages: messages, keys: keys}
}

type trimmer struct {
	slog.Handler
	messages, keys []string
}

// Handle passes on what is left of r.
func (t *trimmer) Handle(ctx context.Context, r slog.Record) error {
	level := r.Level
	if slices.Contains(t.messages, r.Message) {
		if level = slog.LevelDebug; !t.Enabled(ctx, level) {
			return nil
		}
	}
	left := slog.NewRecord(r.Time, level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		if !slices.Contains(t.keys, a.Key) {
			left.AddAttrs(a)
		}
		return true
	})
	return t.Handler.Handle(ctx, left)
}

// WithAttrs keeps trimming.
func (t *trimmer) WithAttrs(attrs []slog.Attr) slog.Handler {
	attrs = slices.DeleteFunc(slices.Clone(attrs), func(a slog.Attr) bool { return slices.Contains(t.keys, a.Key) })
	return &trimmer{t.Handler.WithAttrs(attrs), t.messages, t.keys}
}

// WithGroup keeps trimming.
func (t *trimmer) WithGroup(name string) slog.Handler {
	return &trimmer{t.Handler.WithGroup(name), t.messages, t.keys}
}
