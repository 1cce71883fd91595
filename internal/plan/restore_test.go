package plan_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/plan"
)

// epoch is the time of TXID 0 in these tests; a file's default time is its Max
// in seconds after it.
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(second float64) time.Time { return epoch.Add(time.Duration(second * float64(time.Second))) }

func TestRestore(t *testing.T) {
	for _, tc := range []struct {
		name    string
		have    string // files as LEVEL:MIN-MAX, s for level 9, then optionally *BYTES and @SECOND
		target  plan.Target
		want    string
		wantErr error
	}{
		{name: "one snapshot", have: "s:1-1", want: "s:1-1"},
		{name: "level 0 alone", have: "0:1-1 0:2-2 0:3-3", want: "0:1-1 0:2-2 0:3-3"},
		{name: "prefers the merged file", have: "s:1-4 0:5-5 0:6-6 1:5-6", target: txid(6), want: "s:1-4 1:5-6"},
		{name: "prefers two small files to a large merged one", have: "s:1-4 0:5-5*3 0:6-6*3 1:5-6*7", want: "s:1-4 0:5-5 0:6-6"},
		{name: "goes by bytes, not by the newest snapshot", have: "s:1-1*10 0:2-2*1 s:1-2*50", want: "s:1-1 0:2-2"},
		{name: "takes the newest snapshot when that is less", have: "s:1-1*40 0:2-2*11 s:1-2*50", want: "s:1-2"},
		{name: "a merged file from TXID 1 begins a chain", have: "2:1-3 0:4-4", want: "2:1-3 0:4-4"},
		{name: "files may overlap", have: "s:1-7 1:5-9 0:10-10", want: "s:1-7 1:5-9 0:10-10"},
		{name: "a larger overlap may be cheaper", have: "s:1-7 1:8-9*9 1:3-9*8", want: "s:1-7 1:3-9"},
		{name: "the order of the listing does not matter", have: "0:3-3 0:1-1 1:2-2 0:2-2*9", want: "0:1-1 1:2-2 0:3-3"},
		{name: "empty objects count as files", have: "s:1-1*0 s:1-2*0 0:2-2*0", want: "s:1-2"},

		{name: "an earlier TXID", have: "s:1-2 0:3-3 0:4-4 0:5-5", target: txid(4), want: "s:1-2 0:3-3 0:4-4"},
		{name: "nothing beyond the target is used", have: "s:1-2 1:3-5 0:3-3 0:4-4 0:5-5 s:1-5", target: txid(4), want: "s:1-2 0:3-3 0:4-4"},
		{name: "a time", have: "s:1-2 0:3-3 0:4-4 0:5-5", target: before(4.5), want: "s:1-2 0:3-3 0:4-4"},
		{name: "a time is exclusive", have: "s:1-2 0:3-3 0:4-4 0:5-5", target: before(4), want: "s:1-2 0:3-3"},
		{name: "a time after the last is the last", have: "s:1-2 0:3-3", target: before(1000), want: "s:1-2 0:3-3"},
		{name: "a merged file has the time of its newest content", have: "s:1-2 1:3-6 0:7-7", target: before(5), want: "s:1-2"},
		{name: "a copy made later serves an earlier time", have: "s:1-4@9 0:1-1 0:2-2 0:3-3 0:4-4", target: before(4.5), want: "s:1-4"},
		{name: "a time when the clock went back", have: "s:1-1@10 0:2-2@20 0:3-3@15", target: before(30), wantErr: plan.ErrTarget},
		{name: "another page size begins anew", have: "0:1-1 0:2-2 s:1-3 0:4-4", want: "s:1-3 0:4-4"},
		{name: "before another page size", have: "0:1-1 0:2-2 s:1-3 0:4-4", target: txid(2), want: "0:1-1 0:2-2"},

		{name: "nothing", have: "", wantErr: plan.ErrEmpty},
		{name: "missing transaction", have: "s:1-4 0:6-6", target: txid(6), wantErr: plan.ErrGap},
		{name: "the missing transaction itself", have: "s:1-4 0:6-6", target: txid(5), wantErr: plan.ErrGap},
		{name: "missing transaction on the way to the latest", have: "s:1-4 0:6-6", wantErr: plan.ErrGap},
		{name: "missing transaction on the way to a time", have: "s:1-4 0:6-6", target: before(100), wantErr: plan.ErrGap},
		{name: "missing transaction after the last one before a time", have: "s:1-4 0:5-5 0:7-7", target: before(5.5), wantErr: plan.ErrGap},
		{name: "the same where it was merged with later ones", have: "s:1-4 0:5-5 1:6-7", target: before(6.5), want: "s:1-4 0:5-5"},
		{name: "after the last", have: "s:1-4 0:5-5", target: txid(6), wantErr: plan.ErrTarget},
		{name: "before the first", have: "s:1-4 0:5-5", target: txid(3), wantErr: plan.ErrTarget},
		{name: "a time before the first", have: "s:1-4 0:5-5", target: before(4), wantErr: plan.ErrTarget},
		{name: "inside a merged file", have: "s:1-4 1:5-8", target: txid(6), wantErr: plan.ErrTarget},
		{name: "no snapshot", have: "0:5-5 0:6-6", wantErr: plan.ErrNoSnapshot},
		{name: "no snapshot that early", have: "0:5-5 0:6-6 s:1-6", target: txid(5), wantErr: plan.ErrNoSnapshot},
		{name: "the latest is on level 0, its base is gone", have: "0:5-5 s:1-3", wantErr: plan.ErrGap},
	} {
		t.Run(tc.name, func(t *testing.T) {
			files := mustParse(t, tc.have)
			got, err := plan.Restore(files, tc.target)
			if !errors.Is(err, tc.wantErr) {
				t.Fatalf("error %v, want %v", err, tc.wantErr)
			}
			if s := format(got); s != tc.want {
				t.Errorf("got %q, want %q", s, tc.want)
			}
		})
	}
}

func TestRestoreNamesWhatIsMissing(t *testing.T) {
	for _, tc := range []struct {
		name, have string
		target     plan.Target
		min, max   ltx.TXID
	}{
		{"one", "s:1-4 0:6-6", plan.Target{}, 5, 5},
		{"a range", "s:1-4 0:9-9 0:10-10", plan.Target{}, 5, 8},
		{"the first of two", "s:1-4 0:6-6 0:8-8", plan.Target{}, 5, 5},
		{"up to a merged file", "s:1-4 0:20-20 1:7-20", plan.Target{}, 5, 6},
		{"after an overlap", "s:1-4 1:2-6 0:9-9", plan.Target{}, 7, 8},
		{"the target", "s:1-4 0:9-9", txid(7), 5, 8},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := plan.Restore(mustParse(t, tc.have), tc.target)
			var gap *plan.GapError
			if !errors.As(err, &gap) {
				t.Fatalf("error %v, want a gap", err)
			}
			if gap.Min != tc.min || gap.Max != tc.max {
				t.Errorf("gap %d to %d, want %d to %d", gap.Min, gap.Max, tc.min, tc.max)
			}
			if msg := err.Error(); !strings.Contains(msg, tc.min.String()) || !strings.Contains(msg, tc.max.String()) {
				t.Errorf("message %q does not name %s and %s", msg, tc.min, tc.max)
			}
		})
	}
}

func TestRestoreRefusesTwoTargets(t *testing.T) {
	_, err := plan.Restore(mustParse(t, "s:1-4"), plan.Target{TXID: 4, At: at(9)})
	if err == nil {
		t.Fatal("a TXID and a time were accepted together")
	}
}

func TestRestoreLeavesItsInputAlone(t *testing.T) {
	files := mustParse(t, "0:3-3 0:1-1 0:2-2")
	want := slices.Clone(files)
	if _, err := plan.Restore(files, plan.Target{}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(files, want) {
		t.Errorf("files are now %s, were %s", format(files), format(want))
	}
}

func txid(n ltx.TXID) plan.Target       { return plan.Target{TXID: n} }
func before(second float64) plan.Target { return plan.Target{At: at(second)} }
func levelName(level int) string        { return strings.Replace(fmt.Sprint(level), "9", "s", 1) }
func formatFile(f plan.File) string     { return fmt.Sprintf("%s:%d-%d", levelName(f.Level), f.Min, f.Max) }

func format(files []plan.File) string {
	words := make([]string, len(files))
	for i, f := range files {
		words[i] = formatFile(f)
	}
	return strings.Join(words, " ")
}

// mustParse reads files of one byte each, created at their Max, unless stated.
func mustParse(t *testing.T, s string) []plan.File {
	t.Helper()
	var files []plan.File
	for _, word := range strings.Fields(s) {
		f := plan.File{Size: 1}
		word, second, timed := strings.Cut(word, "@")
		word, size, sized := strings.Cut(word, "*")
		level, span, _ := strings.Cut(word, ":")
		if level = strings.Replace(level, "s", "9", 1); level == "" {
			t.Fatalf("no level in %q", word)
		}
		mustScan(t, level, "%d", &f.Level)
		mustScan(t, span, "%d-%d", &f.Min, &f.Max)
		f.Created = at(float64(f.Max))
		if sized {
			mustScan(t, size, "%d", &f.Size)
		}
		if timed {
			var n float64
			mustScan(t, second, "%g", &n)
			f.Created = at(n)
		}
		files = append(files, f)
	}
	return files
}

func mustScan(t *testing.T, s, format string, into ...any) {
	t.Helper()
	if n, err := fmt.Sscanf(s, format, into...); err != nil || n != len(into) {
		t.Fatalf("parse %q as %q: %v", s, format, err)
	}
}
