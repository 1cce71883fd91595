package replica

import (
	"bufio"
	"fmt"
	"io"

	"github.com/superfly/ltx"
)

// Pages yields pages in ascending order, without the lock page. It returns the
// first error of emit. Data need only stay as it is during the call of emit.
type Pages func(emit func(pgno uint32, data []byte) error) error

// Encode writes the LTX file that d describes. An object from TXID 1 must get
// all pages. Memory does not grow with the number of pages when d has a
// directory to spill to.
func Encode(w io.Writer, d Draft, pages Pages) error {
	if err := d.validate(); err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(w, 64<<10)
	if err := encode(buffered, d, pages); err != nil {
		return fmt.Errorf("encode %s: %w", Key(d.Level, d.Min, d.Max), err)
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("encode %s: %w", Key(d.Level, d.Min, d.Max), err)
	}
	return nil
}

func encode(w io.Writer, d Draft, pages Pages) error {
	enc, err := ltx.NewEncoder(w)
	if err != nil {
		return err
	}
	defer func() { _ = enc.Cleanup() }() // removes the spilled index when we give up half-way
	enc.SetSpillDir(d.SpillDir)
	if err := enc.EncodeHeader(d.header()); err != nil {
		return err
	}
	var count uint32
	err = pages(func(pgno uint32, data []byte) error {
		count++
		return enc.EncodePage(ltx.PageHeader{Pgno: pgno}, data)
	})
	if err != nil {
		return err
	}
	if want := pageCount(d.Position.Commit, d.Position.PageSize); d.Min == 1 && count != want {
		return fmt.Errorf("%d pages, want all %d", count, want)
	}
	return enc.Close()
}

// pageCount returns how many pages a database of commit pages has without the
// lock page.
func pageCount(commit, pageSize uint32) uint32 {
	if commit >= ltx.LockPgno(pageSize) {
		return commit - 1
	}
	return commit
}
