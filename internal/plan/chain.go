package plan

import (
	"cmp"
	"slices"
	"sort"

	"github.com/superfly/ltx"
)

// cost orders chains: by bytes, then by number of files.
type cost struct {
	bytes int64
	files int
}

func (c cost) less(o cost) bool {
	if c.bytes != o.bytes {
		return c.bytes < o.bytes
	}
	return c.files < o.files
}

// link is the cheapest chain that ends with a given file.
type link struct {
	end  ltx.TXID // state reached
	cost cost     // of the whole chain
	file File     // the last one
	prev *link    // the chain before it; nil at the beginning
}

// cheapest returns the cheapest chain to the highest TXID that can be reached
// with files, and that TXID; 0 when no chain can begin. It takes O(n log n).
//
// Files are visited by ascending Max. frontier keeps the reached states from
// which a later file may go on, ascending both in end and in cost: a state that
// is neither further nor cheaper than another is never of use. The cheapest
// beginning for a file is then the first state at or after its Min-1.
func cheapest(files []File) ([]File, ltx.TXID) { return cheapestFrom(files, 0) }

// cheapestFrom is cheapest for chains that go on after the state at TXID from. All files
// end later.
func cheapestFrom(files []File, from ltx.TXID) ([]File, ltx.TXID) {
	slices.SortFunc(files, compare)
	frontier := []*link{{end: from}}
	for len(files) > 0 {
		group := sameMax(files)
		files = files[len(group):]
		if best := bestLink(group, frontier); best != nil {
			frontier = push(frontier, best)
		}
	}
	last := frontier[len(frontier)-1]
	return last.chain(), last.end
}

// compare puts files in the order in which they are visited, without ties.
func compare(a, b File) int {
	return cmp.Or(cmp.Compare(a.Max, b.Max), cmp.Compare(a.Min, b.Min), cmp.Compare(b.Level, a.Level))
}

// sameMax returns the leading files that end where the first one does.
func sameMax(files []File) []File {
	n := sort.Search(len(files), func(i int) bool { return files[i].Max > files[0].Max })
	return files[:n]
}

// bestLink returns the cheapest chain that ends with one of group; nil when
// none of them continues a state of frontier.
func bestLink(group []File, frontier []*link) *link {
	var best *link
	for _, f := range group {
		i := sort.Search(len(frontier), func(i int) bool { return frontier[i].end >= f.Min-1 })
		if i == len(frontier) {
			continue
		}
		prev := frontier[i]
		c := cost{bytes: prev.cost.bytes + f.Size, files: prev.cost.files + 1}
		if best == nil || c.less(best.cost) {
			best = &link{end: f.Max, cost: c, file: f, prev: prev}
		}
	}
	return best
}

// push adds l, which is further than all of frontier, and drops what it makes
// useless.
func push(frontier []*link, l *link) []*link {
	n := len(frontier)
	for n > 0 && !frontier[n-1].cost.less(l.cost) {
		n--
	}
	return append(frontier[:n], l)
}

// chain returns the files of l from the beginning.
func (l *link) chain() []File {
	files := make([]File, 0, l.cost.files)
	for ; l.prev != nil; l = l.prev {
		files = append(files, l.file)
	}
	slices.Reverse(files)
	return files
}
