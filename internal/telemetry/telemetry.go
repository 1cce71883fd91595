// Package telemetry is how Holdfast speaks to the people who run it: one slog
// handler, the keys of its log lines, and a mask for secrets.
//
// It decides nothing and keeps nothing. Loggers are passed in; the package has
// no global one.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
)

// Keys of log lines. Units are in the key.
const (
	Host         = "host"
	Database     = "db"
	Path         = "path"
	Replica      = "replica" // a URL, redacted
	Phase        = "phase"
	TXID         = "txid"
	Bytes        = "bytes"
	Pages        = "pages"
	Frames       = "frames"
	Transactions = "transactions"
	TookMS       = "took_ms"
	WaitMS       = "wait_ms"
	Failures     = "failures"
	Attempt      = "attempt"
	Reason       = "reason"
	Rule         = "rule" // of continuity, that did not hold
	Object       = "object"
	Queue        = "queue"
	Address      = "address"
	Namespace    = "namespace"
	Error        = "error"
)

// Formats of log lines.
const (
	Text = "text" // for eyes: one short line each
	JSON = "json" // for machines
)

// NewHandler returns a handler that writes records from level up to w, each
// with one Write.
func NewHandler(w io.Writer, format, level string) (slog.Handler, error) {
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q: want debug, info, warn or error", level)
	}
	switch format {
	case Text:
		return &textHandler{out: &output{w: w}, least: least}, nil
	case JSON:
		return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: least, ReplaceAttr: utc}), nil
	}
	return nil, fmt.Errorf("log format %q: want %s or %s", format, Text, JSON)
}

// utc makes the JSON handler's times agree with everything else that is printed.
func utc(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
		a.Value = slog.TimeValue(a.Value.Time().UTC())
	}
	return a
}
