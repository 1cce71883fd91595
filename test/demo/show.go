package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/holdfast-db/holdfast/workflows"
)

// showEvery is how often the status is looked at.
const showEvery = time.Second

// view is what is shown of `holdfast status -o json`.
type view struct {
	Phase        string   `json:"phase"`
	TXID         *string  `json:"txid"`
	Lag          *float64 `json:"lag_seconds"`
	Transactions int64    `json:"transactions"`
	Shipped      int64    `json:"shipped_bytes"`
	Problem      *struct {
		Message string `json:"message"`
	} `json:"problem"`
}

// say announces an act.
func (s *stage) say(text string) { fmt.Printf("\n%s\n", text) }

// watch shows the status until d is over. On a terminal it is renewed in place;
// else each look is a line of its own.
func (s *stage) watch(ctx context.Context, d time.Duration) error {
	tick := time.NewTicker(showEvery)
	defer tick.Stop()
	shown := false
	for end := time.Now().Add(d); time.Now().Before(end); {
		v, err := s.status(ctx)
		if err != nil {
			return err
		}
		switch {
		case !s.onScreen():
			fmt.Println(v.line())
		case shown:
			fmt.Printf("\033[2A\r\033[K%s\n\033[K  %s\n", v.line(), s.page())
		default:
			fmt.Printf("%s\n  %s\n", v.line(), s.page())
		}
		shown = true
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.writer.done:
			return fmt.Errorf("the application ended by itself: %w", s.writer.err)
		case <-s.worker.done:
			return fmt.Errorf("the worker ended by itself: %w", s.worker.err)
		case <-tick.C:
		}
	}
	return nil
}

// page is where the Temporal UI shows the database's workflow.
func (s *stage) page() string {
	return s.at.UI + "/namespaces/default/workflows/" + url.PathEscape(workflows.WorkflowID(name))
}

// onScreen tells whether the output is a terminal that can renew a line.
func (s *stage) onScreen() bool {
	info, err := os.Stdout.Stat()
	return s.terminal && err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

func (s *stage) status(ctx context.Context) (view, error) {
	var v view
	out, err := s.holdfast(ctx, "status", name, "-o", "json")
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(out, &v); err != nil {
		return v, fmt.Errorf("read the status: %w", err)
	}
	return v, nil
}

// line is narrow enough for a terminal of 80 columns.
func (v view) line() string {
	txid, lag := "-", "-"
	if v.TXID != nil {
		txid = (*v.TXID)[max(0, len(*v.TXID)-4):] // hexadecimal, as in file names
	}
	if v.Lag != nil {
		lag = fmt.Sprintf("%.1f s", *v.Lag)
	}
	text := fmt.Sprintf("  %-12s TXID %-4s lag %-7s shipped %5d transactions, %.1f MiB", v.Phase, txid, lag, v.Transactions, float64(v.Shipped)/(1<<20))
	if v.Problem != nil {
		text += "  " + v.Problem.Message
	}
	return text
}

// stayUp keeps everything running for somebody who looks on.
func (s *stage) stayUp(ctx context.Context) error {
	if !s.terminal {
		return nil
	}
	fmt.Printf("\nThe worker and the servers stay up for a look: %s\nCtrl-C ends them.\n", s.page())
	<-ctx.Done() // and all was as it should be
	fmt.Println()
	return nil
}
