package replica

import (
	"strconv"
	"strings"
)

// Limits of a list of pages: beyond them an object says nothing of its pages.
const (
	listedBytes = 256  // of the text
	listedPages = 1024 // named by it
)

// PageList makes the text by which the metadata of a small object names its pages:
// ascending numbers separated by commas, neighbours as the first and the last of them,
// "1,7-9". The zero value is ready for one object.
type PageList struct {
	text        []byte
	first, last uint32 // the run that is not in text yet; 0 for none
	count       int
	long        bool // beyond the limits
}

// Watch yields pages, and notes their numbers.
func (l *PageList) Watch(pages Pages) Pages {
	return func(emit func(pgno uint32, data []byte) error) error {
		return pages(func(pgno uint32, data []byte) error {
			l.add(pgno)
			return emit(pgno, data)
		})
	}
}

// add adds a page, which must be higher than those before.
func (l *PageList) add(pgno uint32) {
	if l.long {
		return
	}
	if l.last != 0 && pgno == l.last+1 {
		l.last = pgno
	} else {
		l.flush()
		l.first, l.last = pgno, pgno
	}
	l.count++
	l.long = l.count > listedPages || len(l.text) > listedBytes
}

func (l *PageList) flush() {
	if l.last == 0 {
		return
	}
	if len(l.text) > 0 {
		l.text = append(l.text, ',')
	}
	l.text = strconv.AppendUint(l.text, uint64(l.first), 10)
	if l.last > l.first {
		l.text = append(l.text, '-')
		l.text = strconv.AppendUint(l.text, uint64(l.last), 10)
	}
	l.first, l.last = 0, 0
}

// String returns the text, after the last page; empty if there is no page, or too many.
func (l *PageList) String() string {
	if l.flush(); l.long || len(l.text) > listedBytes {
		return ""
	}
	return string(l.text)
}

// ListedPages returns the numbers of o's pages, ascending, if its metadata names them.
// That they are true is not known before o is read.
func (o Object) ListedPages() []uint32 {
	if o.Pages == "" || len(o.Pages) > listedBytes {
		return nil
	}
	var pages []uint32
	for run := range strings.SplitSeq(o.Pages, ",") {
		from, to, isRun := strings.Cut(run, "-")
		if !isRun {
			to = from
		}
		first, err := strconv.ParseUint(from, 10, 32)
		last, err2 := strconv.ParseUint(to, 10, 32)
		if err != nil || err2 != nil || first == 0 || last < first || last-first >= listedPages ||
			len(pages) > 0 && first <= uint64(pages[len(pages)-1]) {
			return nil
		}
		for pgno := first; pgno <= last; pgno++ {
			pages = append(pages, uint32(pgno))
		}
		if len(pages) > listedPages {
			return nil
		}
	}
	return pages
}
