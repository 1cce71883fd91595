package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// emit prints v as JSON, or text as it is.
func (a *app) emit(v any, text func(w io.Writer)) error {
	if a.asJSON() {
		encoder := json.NewEncoder(a.stdout)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(v)
	}
	var b strings.Builder
	text(&b)
	_, err := io.WriteString(a.stdout, b.String())
	return err
}

// table prints rows under a header, in columns.
func table(w io.Writer, header []string, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	_ = t.Flush() // into a strings.Builder
}

// stamp prints a time in RFC 3339, UTC; "-" for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// mebibytes prints a size with one decimal.
func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// orDash stands for what is not known.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
