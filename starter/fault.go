package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/workflows/control"
)

// Exit statuses.
const (
	statusDone        = 0
	statusFailed      = 1
	statusUsage       = 2
	statusInterrupted = 130
)

// Types of errors that are this program's own, beside those of workflows and
// activities.
const (
	typeUsage         = "Usage"
	typeConfiguration = "Configuration"
	typeInterrupted   = "Interrupted"
	typeNotRegistered = "NotRegistered"
	typeNoAnswer      = "NoAnswer"
	typeUnreachable   = "Unreachable"
	typeTaken         = "Taken"
	typeUnderWay      = "UnderWay"
	typeNotProven     = "NotProven"
	typeExists        = "Exists"
	typeFailed        = "Failed"
)

// fault is an error that has its exit status.
type fault struct {
	status int
	typ    string
	err    error
}

// Error returns the message.
func (f *fault) Error() string { return f.err.Error() }

// Unwrap returns the cause.
func (f *fault) Unwrap() error { return f.err }

// usage is the fault of a person who typed something else than c takes.
func usage(c *cobra.Command, format string, args ...any) error {
	return usageHint(c, fmt.Sprintf(format, args...), fmt.Sprintf("see %s --help", c.CommandPath()))
}

// usageOf is the usage of an error that may say itself what to do.
func usageOf(c *cobra.Command, err error) error {
	if what, hint := split(err.Error()); hint != "" {
		return usageHint(c, what, hint)
	}
	return usage(c, "%v", err)
}

// flagError is the usage of a flag that pflag could not read.
func flagError(c *cobra.Command, err error) error {
	var value *pflag.InvalidValueError
	if !errors.As(err, &value) {
		return usage(c, "%v", err)
	}
	what := fmt.Sprintf("--%s: got %q", value.GetFlag().Name, value.GetValue())
	if value.GetFlag().Value.Type() == "duration" {
		return usageHint(c, what, "write a duration such as 1s, 500ms or 10m")
	}
	return usageOf(c, fmt.Errorf("%s: %w", what, errors.Unwrap(value)))
}

func usageHint(_ *cobra.Command, what, hint string) error {
	return &fault{statusUsage, typeUsage, errors.New(strings.ReplaceAll(what, ";", ",") + "; " + hint)}
}

func misconfigured(err error) error { return &fault{statusUsage, typeConfiguration, err} }

// judge gives err its exit status and type.
func judge(ctx context.Context, err error) *fault {
	var own *fault
	var refused *control.Refused
	switch {
	case errors.As(err, &own) && (ctx.Err() == nil || own.status == statusInterrupted):
		return own
	case ctx.Err() != nil:
		return &fault{statusInterrupted, typeInterrupted, errors.New("interrupted; nothing was changed")}
	case errors.As(err, &refused):
		return &fault{statusFailed, refused.Type, err}
	}
	for _, row := range []struct {
		is     error
		status int
		typ    string
	}{
		{control.ErrSettings, statusUsage, typeConfiguration},
		{control.ErrQuery, statusUsage, typeUsage},
		{blob.ErrConfig, statusUsage, typeConfiguration},
		{control.ErrNotRegistered, statusFailed, typeNotRegistered},
		{control.ErrNoAnswer, statusFailed, typeNoAnswer},
		{control.ErrUnreachable, statusFailed, typeUnreachable},
		{control.ErrTaken, statusFailed, typeTaken},
		{control.ErrUnderWay, statusFailed, typeUnderWay},
	} {
		if errors.Is(err, row.is) {
			return &fault{row.status, row.typ, err}
		}
	}
	if typ, _ := activities.Classify(err); typ != activities.Internal {
		return &fault{statusFailed, typ, err}
	}
	return &fault{statusFailed, typeFailed, err}
}

// report prints err as one line, or as JSON, and returns the exit status.
func (a *app) report(ctx context.Context, c *cobra.Command, args []string, err error) int {
	f := judge(ctx, err)
	message, hint := split(strings.Join(strings.Fields(f.Error()), " "))
	if c != nil && c.HasParent() && !strings.HasPrefix(message, c.Name()+" ") {
		message = c.Name() + ": " + message
	}
	if a.asJSON() || f.typ == typeUsage && wantsJSON(args) {
		encoder := json.NewEncoder(a.stderr)
		encoder.SetEscapeHTML(false)
		_ = encoder.Encode(map[string]any{
			"error": map[string]string{"type": f.typ, "message": message, "hint": hint},
		})
		return f.status
	}
	line := "holdfast: " + message
	if hint != "" {
		line += "; " + hint
	}
	fmt.Fprintln(a.stderr, line)
	return f.status
}

// split takes what to do off the end of a message.
func split(message string) (what, hint string) {
	if i := strings.LastIndex(message, "; "); i >= 0 {
		return message[:i], message[i+2:]
	}
	return message, ""
}

// wantsJSON looks at arguments that could not be parsed to their end.
func wantsJSON(args []string) bool {
	line := " " + strings.Join(args, " ") + " "
	for _, sign := range []string{" --json ", " -o json ", " -ojson ", " -o=json ", " --output json ", " --output=json "} {
		if strings.Contains(line, sign) {
			return true
		}
	}
	return false
}
