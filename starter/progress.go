package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-db/holdfast/internal/restore"
)

const (
	barWidth  = 24
	drawEvery = 100 * time.Millisecond
	sayEvery  = 10 * time.Second
)

// bar shows how far a restore has come: on a terminal a line that is drawn again
// and again, else a plain line now and then.
type bar struct {
	to       io.Writer
	terminal bool
	now      func() time.Time
	begun    time.Time
	shown    time.Time // when it was last shown
	drawn    bool      // something is on the terminal's line
}

func newBar(to io.Writer, terminal bool, now func() time.Time) *bar {
	begun := now()
	return &bar{to: to, terminal: terminal, now: now, begun: begun, shown: begun}
}

// tell is restore.Options' Progress.
func (b *bar) tell(p restore.Progress) {
	every := sayEvery
	if b.terminal {
		every = drawEvery
	}
	now := b.now()
	if now.Sub(b.shown) < every {
		return
	}
	b.shown = now
	text := describeProgress(p, now.Sub(b.begun))
	if !b.terminal {
		fmt.Fprintf(b.to, "restoring: %s\n", text)
		return
	}
	filled := 0
	if p.BytesTotal > 0 {
		filled = int(min(barWidth, barWidth*p.Bytes/p.BytesTotal))
	}
	fmt.Fprintf(b.to, "\r[%s%s] %s\x1b[K", strings.Repeat("=", filled), strings.Repeat(" ", barWidth-filled), text)
	b.drawn = true
}

// say prints a line of its own.
func (b *bar) say(text string) {
	b.end()
	fmt.Fprintln(b.to, "restoring: "+text)
}

// end leaves an empty line for what is said next.
func (b *bar) end() {
	if b.drawn {
		fmt.Fprint(b.to, "\r\x1b[K")
		b.drawn = false
	}
}

func describeProgress(p restore.Progress, took time.Duration) string {
	text := fmt.Sprintf("%s of %s, %d of %d objects", mebibytes(p.Bytes), mebibytes(p.BytesTotal), p.Objects, p.ObjectsTotal)
	if p.Bytes == 0 || took <= 0 {
		return text
	}
	rate := float64(p.Bytes) / took.Seconds()
	left := time.Duration(float64(p.BytesTotal-p.Bytes) / rate * float64(time.Second))
	return fmt.Sprintf("%s, %s/s, %v left", text, mebibytes(int64(rate)), left.Round(time.Second))
}

// isTerminal tells whether f is one.
func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
