package control_test

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/test/stack"
	"github.com/holdfast-db/holdfast/workflows/control"
)

func TestDialFailures(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	for _, row := range []struct {
		name    string
		environ []string
		want    error
		says    string
	}{
		{"nobody listens", []string{"TEMPORAL_ADDRESS=" + closed.Addr().String()}, control.ErrUnreachable, closed.Addr().String() + ": connection refused; start it, or set TEMPORAL_ADDRESS"},
		{"no such host", []string{"TEMPORAL_ADDRESS=nosuch.invalid:7233"}, control.ErrUnreachable, "nosuch.invalid:7233: no such host"},
		{"no such profile", []string{"TEMPORAL_PROFILE=nosuch"}, control.ErrSettings, "correct the temporal CLI's file or TEMPORAL_*"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := control.Dial(t.Context(), control.Dialing{Environ: row.environ})
			if !errors.Is(err, row.want) || !strings.Contains(err.Error(), row.says) {
				t.Errorf("got %v, want %q", err, row.says)
			}
		})
	}
}

func TestDialIsPatient(t *testing.T) {
	const patience = 700 * time.Millisecond
	begun := time.Now()
	_, err := control.Dial(t.Context(), control.Dialing{Environ: []string{"TEMPORAL_ADDRESS=127.0.0.1:1"}, Patience: patience})
	if took := time.Since(begun); err == nil || took < patience || took > 5*time.Second {
		t.Errorf("got %v after %v", err, took)
	}
}

func TestDialRefusesANamespaceThatIsNotThere(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real Temporal")
	}
	_, err := control.Dial(t.Context(), control.Dialing{Environ: []string{"TEMPORAL_ADDRESS=" + stack.Start(t).Temporal, "TEMPORAL_NAMESPACE=nosuch"}})
	if !errors.Is(err, control.ErrSettings) || !strings.Contains(err.Error(), `namespace "nosuch" does not exist; create it, or set TEMPORAL_NAMESPACE`) {
		t.Errorf("got %v", err)
	}
}
