package main

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"time"

	"github.com/holdfast-db/holdfast/internal/digest"
	"github.com/holdfast-db/holdfast/internal/replica"
	"github.com/holdfast-db/holdfast/internal/wal"
)

// digestPage is the size of the pages whose digests are kept, in bytes.
const digestPage = 4096

// digests measures what keeping page digests costs. There is no switch for it, so what is
// compared is the encoding of all pages of a database with and without, to nowhere: a
// pass does that, and then waits for the store.
func (b *bench) digests(ctx context.Context) error {
	pages := uint32(b.bytes(1) / digestPage)
	var cost, mark []float64
	for range b.rounds {
		b.progress("digests of %d pages", pages)
		if err := ctx.Err(); err != nil {
			return err
		}
		without, err := encodePages(pages, nil)
		if err != nil {
			return err
		}
		table, err := digest.Open(filepath.Join(b.dir, "digests"))
		if err != nil {
			return err
		}
		with, marked, err := keepDigests(table, pages)
		if err = errors.Join(err, table.Close()); err != nil {
			return err
		}
		cost = append(cost, 100*(with-without)/without)
		mark = append(mark, 1000*marked)
	}
	b.results.add(line{Row: "delta", What: "keeping digests, of the time to encode", Unit: "%", Holdfast: cost}, noTarget)
	b.results.add(line{Row: "delta", What: "bringing all of them to disk", Unit: "ms", Holdfast: mark}, noTarget)
	return nil
}

// keepDigests encodes pages and keeps their digests. It returns how many seconds that
// took, and bringing the digests to disk.
func keepDigests(table *digest.Table, pages uint32) (with, marked float64, err error) {
	change, err := table.Begin(digestPage, pages)
	if err != nil {
		return 0, 0, err
	}
	if with, err = encodePages(pages, change.Page); err != nil {
		return 0, 0, err
	}
	begun := time.Now()
	if err := change.Apply(); err != nil {
		return 0, 0, err
	}
	with += time.Since(begun).Seconds()
	begun = time.Now()
	err = table.Mark(1)
	return with, time.Since(begun).Seconds(), err
}

// encodePages encodes pages of text, each given to each before, and returns how many
// seconds that took.
func encodePages(pages uint32, each func(pgno uint32, data []byte) error) (float64, error) {
	pool := []byte(newText().pool)
	d := replica.Draft{
		Min: 1, Max: 1, Created: time.Now(), Writer: "00112233445566778899aabbccddeeff",
		Position: wal.Position{PageSize: digestPage, Commit: pages},
	}
	begun := time.Now()
	err := replica.Encode(io.Discard, d, func(emit func(uint32, []byte) error) error {
		for pgno := uint32(1); pgno <= pages; pgno++ {
			if pgno == 1<<30/digestPage+1 {
				continue // the lock page
			}
			at := int(pgno) * 509 % (len(pool) - digestPage)
			data := pool[at : at+digestPage]
			if each != nil {
				if err := each(pgno, data); err != nil {
					return err
				}
			}
			if err := emit(pgno, data); err != nil {
				return err
			}
		}
		return nil
	})
	return time.Since(begun).Seconds(), err
}
