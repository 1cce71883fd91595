package plan

import (
	"slices"
	"time"

	"github.com/superfly/ltx"
)

// Point is a state that can be restored.
type Point struct {
	TXID    ltx.TXID
	Created time.Time // of its newest content
}

// Range is a run of TXIDs, both ends included.
type Range struct{ Min, Max ltx.TXID }

// Points returns the states that files lead to, ascending, each with the time by which
// Restore finds it: Restore finds a chain to each of them, and to no other. lost are the ends of files that cannot be
// reached, because something before them is missing.
func Points(files []File) (points []Point, lost []Range) {
	files = slices.Clone(files)
	slices.SortFunc(files, compare)
	top := ltx.TXID(0) // highest state reached
	for len(files) > 0 {
		group := sameMax(files)
		files = files[len(group):]
		end := group[0].Max
		reached := slices.IndexFunc(group, func(f File) bool { return f.Min >= 1 && f.Min <= f.Max && f.Min-1 <= top })
		switch {
		case end == 0:
		case reached >= 0:
			points = append(points, created(group)...)
			top = end
		case len(lost) > 0 && lost[len(lost)-1].Max > top:
			lost[len(lost)-1].Max = end
		default:
			lost = append(lost, Range{top + 1, end})
		}
	}
	return points, lost
}

// Span is how closely the states between two ages lie.
type Span struct {
	Name        string
	Points      int
	First, Last Point
	Typical     time.Duration // between two neighbours: the median; 0 for fewer than two
}

// ages are the borders of spans.
var ages = []struct {
	name string
	most time.Duration
}{
	{"last hour", time.Hour},
	{"last day", 24 * time.Hour},
	{"last week", 7 * 24 * time.Hour},
	{"last 30 days", 30 * 24 * time.Hour},
	{"older", 1<<63 - 1},
}

// Spans sorts points, which are ascending, by their age at now, the youngest span
// first. Spans without a point are left out.
func Spans(points []Point, now time.Time) (spans []Span) {
	end := len(points)
	for _, age := range ages {
		from := end
		for from > 0 && now.Sub(points[from-1].Created) <= age.most {
			from--
		}
		if from == end {
			continue
		}
		in := points[from:end]
		spans = append(spans, Span{age.name, len(in), in[0], in[len(in)-1], typical(in)})
		end = from
	}
	return spans
}

// typical is the median distance of two neighbours.
func typical(points []Point) time.Duration {
	var steps []time.Duration
	for i := 1; i < len(points); i++ {
		steps = append(steps, points[i].Created.Sub(points[i-1].Created))
	}
	if len(steps) == 0 {
		return 0
	}
	slices.Sort(steps)
	return steps[len(steps)/2]
}
