package main

import (
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Verdicts on a line.
const (
	met    = "met"
	notMet = "NOT MET"
)

// line is one line of the table. Values are in Unit, one for each turn.
type line struct {
	Row      string    `json:"row"`
	What     string    `json:"what"`
	Unit     string    `json:"unit"`
	Target   string    `json:"target,omitempty"`
	Holdfast []float64 `json:"holdfast,omitempty"`
	Peer     []float64 `json:"peer,omitempty"`
	Nothing  []float64 `json:"nothing,omitempty"` // with neither of the two, or by other means
	Worst    bool      `json:"worst,omitempty"`   // what counts is the largest value, not the median
	Measured float64   `json:"measured"`          // of Holdfast's values
	Peers    float64   `json:"peer_measured"`     // of Peer's
	Ratio    float64   `json:"ratio,omitempty"`   // of the two
	Verdict  string    `json:"verdict,omitempty"`
	Note     string    `json:"note,omitempty"`
}

// target is what a line must show.
type target struct {
	text string
	met  func(l *line) bool
}

// Targets relative to the peer, by what counts of both. A line that is not to be
// slower may be 5 % above: less cannot be told apart in a few turns.
var (
	faster    = target{"< peer", func(l *line) bool { return l.Ratio < 1 }}
	notSlower = target{"<= peer (5 %)", func(l *line) bool { return l.Ratio <= 1.05 }}
	noTarget  = target{}
)

// times is a target for how many times as fast as the peer Holdfast is.
func times(faster float64) target {
	return target{fmt.Sprintf("<= peer/%g", faster), func(l *line) bool { return l.Ratio <= 1/faster }}
}

func atMost(limit float64, text string) target {
	return target{text, func(l *line) bool { return l.Measured <= limit }}
}

func below(limit float64, text string) target {
	return target{text, func(l *line) bool { return l.Measured < limit }}
}

func atLeast(limit float64, text string) target {
	return target{text, func(l *line) bool { return l.Measured >= limit }}
}

// judge works out what follows from the values.
func (l *line) judge(t target) {
	if len(l.Holdfast) == 0 {
		return
	}
	l.Target = t.text
	counts := 0.5
	if l.Worst {
		counts = 1
	}
	l.Measured = quantile(l.Holdfast, counts)
	if len(l.Peer) > 0 {
		l.Peers = quantile(l.Peer, counts)
		if l.Peers != 0 {
			l.Ratio = l.Measured / l.Peers
		}
	}
	if t.met == nil {
		return
	}
	l.Verdict = notMet
	if t.met(l) {
		l.Verdict = met
	}
}

// results is all that was measured, and how.
type results struct {
	Begun   time.Time `json:"begun"`
	Seconds float64   `json:"took_seconds"`
	Size    float64   `json:"size"`
	Rounds  int       `json:"rounds"`
	Machine string    `json:"machine"`
	Ours    string    `json:"holdfast"`
	Peers   string    `json:"litestream"`
	Lines   []*line   `json:"lines"`

	out io.Writer
}

func newResults(o options) (*results, error) {
	r := &results{Begun: time.Now().UTC().Truncate(time.Second), Size: o.size, Rounds: o.rounds, out: os.Stdout}
	peers, err := buildinfo.ReadFile(filepath.Join(o.bin, "bin", "litestream"))
	if err != nil {
		return nil, err
	}
	r.Ours, r.Peers = version(), peers.Main.Version
	var memory unix.Sysinfo_t
	var name unix.Utsname
	if err := unix.Sysinfo(&memory); err != nil {
		return nil, err
	}
	if err := unix.Uname(&name); err != nil {
		return nil, err
	}
	gibibytes := float64(memory.Totalram) * float64(memory.Unit) / (1 << 30)
	r.Machine = fmt.Sprintf("%d cores, %.0f GiB, Linux %s", runtime.NumCPU(), gibibytes, unix.ByteSliceToString(name.Release[:]))
	return r, nil
}

// version is the commit of the sources around us.
func version() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "of an unknown commit"
	}
	return strings.TrimSpace(string(out))
}

// The table's columns, 99 characters in all.
const columns = "%-44s %-13s %10s %10s %7s  %s\n"

func (r *results) printHead(w io.Writer) {
	fmt.Fprintf(w, "Holdfast %s beside Litestream %s: %s\n", r.Ours, r.Peers, r.Machine)
	fmt.Fprintf(w, "Holdfast is a holdfast-worker registered with Temporal; both speak to the same Azurite.\n")
	if r.Size != 1 {
		fmt.Fprintf(w, "Sizes and times are %g of the full ones: the targets are for 1, so no verdict here counts.\n", r.Size)
	}
	fmt.Fprintln(w)
	fmt.Fprintf(w, columns, "", "target", "Holdfast", "Litestream", "ratio", "")
}

// printFoot says what the columns mean.
func (r *results) printFoot(w io.Writer) {
	missed := 0
	for _, l := range r.Lines {
		if l.Verdict == notMet {
			missed++
		}
	}
	fmt.Fprintf(w, "\nMedians of the turns, or the worst of them for what is longest or largest; ratio is\nHoldfast's to Litestream's. %d lines, %d of them not met.\n", len(r.Lines), missed)
}

// begin heads the lines of one row.
func (r *results) begin(title string) { fmt.Fprintf(r.out, "\n%s\n", title) }

// add judges a line and prints it.
func (r *results) add(l line, t target) {
	l.judge(t)
	r.Lines = append(r.Lines, &l)
	ours, peers, ratio := "", "", ""
	if len(l.Holdfast) > 0 {
		ours = shown(l.Measured, l.Unit)
	}
	if len(l.Peer) > 0 {
		peers = shown(l.Peers, l.Unit)
	}
	if l.Ratio != 0 {
		ratio = fmt.Sprintf("%.2f", l.Ratio)
	}
	what := "  " + l.What
	if len(l.Nothing) > 0 {
		what += ": " + shown(median(l.Nothing), l.Unit)
	}
	verdict := l.Verdict
	if r.Size != 1 && verdict != "" {
		verdict = "(" + verdict + ")"
	}
	text := fmt.Sprintf(columns, what, l.Target, ours, peers, ratio, verdict)
	fmt.Fprintln(r.out, strings.TrimRight(text, " \n"))
	if l.Note != "" {
		fmt.Fprintf(r.out, "    %s\n", l.Note)
	}
}

// shown prints a value in three digits or so.
func shown(v float64, unit string) string {
	digits := 0
	switch {
	case v < 10:
		digits = 2
	case v < 100:
		digits = 1
	}
	text := fmt.Sprintf("%.*f", digits, v)
	switch unit {
	case "":
		return text
	case "%", "x":
		return text + unit
	}
	return text + " " + unit
}

func (r *results) write(path string) error {
	r.Seconds = time.Since(r.Begun).Seconds()
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

func median(values []float64) float64 { return quantile(values, 0.5) }

// quantile returns the value below which a share of q is; between two values
// for the median of an even number.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}
