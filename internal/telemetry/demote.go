package telemetry

import (
	"context"
	"log/slog"
	"slices"
)

// Demote returns a handler that lowers the records with one of messages to
// Debug. It is for a library that logs, at each attempt, an error that Holdfast
// logs once with all that matters.
func Demote(h slog.Handler, messages ...string) slog.Handler {
	return &demoter{Handler: h, messages: messages}
}

type demoter struct {
	slog.Handler
	messages []string
}

// Handle passes r on, lowered where its message is one of the messages.
func (d *demoter) Handle(ctx context.Context, r slog.Record) error {
	if slices.Contains(d.messages, r.Message) {
		if !d.Enabled(ctx, slog.LevelDebug) {
			return nil
		}
		r.Level = slog.LevelDebug
	}
	return d.Handler.Handle(ctx, r)
}

// WithAttrs keeps the demotion.
func (d *demoter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &demoter{Handler: d.Handler.WithAttrs(attrs), messages: d.messages}
}

// WithGroup keeps the demotion.
func (d *demoter) WithGroup(name string) slog.Handler {
	return &demoter{Handler: d.Handler.WithGroup(name), messages: d.messages}
}
