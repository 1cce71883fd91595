package main

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/superfly/ltx"
)

// markPage is the page with the number of the newest transaction: the root of
// the first table, which stays a single page.
const markPage = 2

// markLabel goes before the number, in 16 hex digits: the row's text never
// changes its length, so that SQLite replaces it in place.
const markLabel = "transaction "

func markText(number uint64) string { return fmt.Sprintf("%s%016x", markLabel, number) }

// look finds, in the beginning of an LTX file, the number of the newest
// transaction in it, and whether it holds all pages.
func look(prefix []byte) (mark uint64, snapshot bool) {
	defer func() { _ = recover() }() // the decoder may panic on a file cut short
	d := ltx.NewDecoder(bytes.NewReader(prefix))
	d.SetRetainPageIndex(false)
	if d.DecodeHeader() != nil {
		return 0, false
	}
	snapshot = d.Header().MinTXID == 1
	page := make([]byte, d.Header().PageSize)
	for {
		var h ltx.PageHeader
		if d.DecodePage(&h, page) != nil || h.Pgno > markPage {
			return 0, snapshot
		}
		if h.Pgno == markPage {
			return markIn(page), snapshot
		}
	}
}

// markIn finds the number in its page; 0 if there is none.
func markIn(page []byte) uint64 {
	_, after, found := bytes.Cut(page, []byte(markLabel))
	if !found || len(after) < 16 {
		return 0
	}
	number, err := strconv.ParseUint(string(after[:16]), 16, 64)
	if err != nil {
		return 0
	}
	return number
}
