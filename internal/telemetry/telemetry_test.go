package telemetry_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/slogtest"
	"time"

	"github.com/holdfast-db/holdfast/internal/telemetry"
)

func mustHandler(t *testing.T, w *bytes.Buffer, format, level string) slog.Handler {
	t.Helper()
	h, err := telemetry.NewHandler(w, format, level)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestTextHandlerKeepsTheContractOfSlog(t *testing.T) {
	var out bytes.Buffer
	slogtest.Run(t, func(*testing.T) slog.Handler {
		out.Reset()
		return mustHandler(t, &out, telemetry.Text, "debug")
	}, func(t *testing.T) map[string]any {
		return mustParse(t, out.String())
	})
}

// mustParse reads a line back: time, level, words, then key=value.
func mustParse(t *testing.T, line string) map[string]any {
	t.Helper()
	fields := strings.Fields(line)
	record := map[string]any{}
	if _, err := time.Parse(time.RFC3339, fields[0]); err == nil {
		record[slog.TimeKey], fields = fields[0], fields[1:]
	}
	record[slog.LevelKey], fields = fields[0], fields[1:]
	for _, field := range fields {
		key, value, isAttr := strings.Cut(field, "=")
		if !isAttr {
			record[slog.MessageKey] = strings.TrimSpace(fmt.Sprint(or(record[slog.MessageKey]), " ", field))
			continue
		}
		group := record
		parts := strings.Split(key, ".")
		for _, part := range parts[:len(parts)-1] {
			if group[part] == nil {
				group[part] = map[string]any{}
			}
			group = group[part].(map[string]any)
		}
		group[parts[len(parts)-1]] = value
	}
	return record
}

func or(v any) any {
	if v == nil {
		return ""
	}
	return v
}

func TestTextLine(t *testing.T) {
	at := time.Date(2026, 3, 1, 10, 30, 0, 125e6, time.FixedZone("", 3600))
	for _, row := range []struct {
		name, message, want string
		attrs               []any
	}{
		{name: "reads like a sentence with facts", message: "shipped", attrs: []any{"db", "shop", "txid", 12}, want: "INFO  shipped db=shop txid=12"},
		{name: "quotes what has spaces", message: "failed", attrs: []any{"error", errors.New("no such file")}, want: `INFO  failed error="no such file"`},
		{name: "stays one line", message: "a\nb", attrs: []any{"error", "x\ny"}, want: `INFO  a b error="x\ny"`},
		{name: "quotes nothing at all", message: "m", attrs: []any{"host", ""}, want: `INFO  m host=""`},
		{name: "has times in UTC", message: "m", attrs: []any{"at", at}, want: `INFO  m at=2026-03-01T09:30:00.125Z`},
	} {
		t.Run(row.name, func(t *testing.T) {
			var out bytes.Buffer
			r := slog.NewRecord(at, slog.LevelInfo, row.message, 0)
			r.Add(row.attrs...)
			if err := mustHandler(t, &out, telemetry.Text, "info").Handle(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if want := "2026-03-01T09:30:00.125Z " + row.want + "\n"; out.String() != want {
				t.Errorf("got  %q\nwant %q", out.String(), want)
			}
		})
	}
}

func TestLevelAndFormatAreChecked(t *testing.T) {
	for _, row := range []struct{ format, level, want string }{
		{"text", "loud", "log level"},
		{"xml", "info", "log format"},
	} {
		if _, err := telemetry.NewHandler(nil, row.format, row.level); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s, %s: got %v, want an error about the %s", row.format, row.level, err, row.want)
		}
	}
}

func TestLevelsBelowTheLeastAreDropped(t *testing.T) {
	for _, format := range []string{telemetry.Text, telemetry.JSON} {
		var out bytes.Buffer
		log := slog.New(mustHandler(t, &out, format, "warn"))
		log.Info("quiet")
		log.Warn("loud")
		if got := out.String(); strings.Contains(got, "quiet") || !strings.Contains(got, "loud") {
			t.Errorf("%s: got %q", format, got)
		}
	}
}

func TestMaskWriterHidesSecretsInEveryFormat(t *testing.T) {
	const secret = "Zm9vYmFy+/=="
	for _, format := range []string{telemetry.Text, telemetry.JSON} {
		var out bytes.Buffer
		h, err := telemetry.NewHandler(telemetry.MaskWriter(&out, []string{"", secret}), format, "info")
		if err != nil {
			t.Fatal(err)
		}
		slog.New(h).Info("m", "error", errors.New("key "+secret+" refused"))
		if got := out.String(); strings.Contains(got, secret) || !strings.Contains(got, "refused") {
			t.Errorf("%s: got %q", format, got)
		}
	}
}

func TestTrim(t *testing.T) {
	for _, row := range []struct {
		name, level, message string
		want                 string // after the time; empty for no line
	}{
		{"a message that is too much disappears at info", "info", "Activity error.", ""},
		{"and is there at debug", "debug", "Activity error.", "DEBUG Activity error. a=1 g.b=2 g.c=3"},
		{"another message loses its keys only", "info", "other", "ERROR other a=1 g.b=2 g.c=3"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var out bytes.Buffer
			h := telemetry.Trim(mustHandler(t, &out, telemetry.Text, row.level), []string{"Activity error."}, []string{"RunID"})
			slog.New(h).With("RunID", "x", "a", 1).WithGroup("g").With("b", 2).Error(row.message, "RunID", "x", "c", 3)
			_, got, _ := strings.Cut(strings.TrimSpace(out.String()), " ")
			if got != row.want {
				t.Errorf("got  %q\nwant %q", got, row.want)
			}
		})
	}
}
