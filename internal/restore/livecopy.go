package restore

import (
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"

	"github.com/mattn/go-sqlite3"
	"golang.org/x/sys/unix"

	"github.com/holdfast-db/holdfast/internal/wal"
)

// What can be in the way of a change to a copy that others read.
var (
	errBusy    = errors.New("another program holds the copy's lock")
	errForeign = errors.New("another program has written to the copy")
	errNotWAL  = errors.New("the copy is not in WAL mode")
)

// liveCopy is a database file that SQLite connections of other processes read while it
// changes. A change is appended to its log and becomes visible whole, by one header of
// the log's index, as SQLite's own transactions do: readers never wait and never see a
// part, and one that began before goes on with what it saw. A connection of our own
// keeps log and index in being, and checkpoints.
//
// SQLite's locks belong to the process: while a liveCopy is open, nothing else in this
// process may open and close the file or its index but SQLite.
type liveCopy struct {
	file  *os.File // the database; open for as long as the connection
	log   *os.File
	index *index
	db    *sql.DB
	left  indexHeader // the index's header as it was left
}

// openCopy opens the database at path, which is in WAL mode.
func openCopy(path string) (c *liveCopy, err error) {
	c = &liveCopy{}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	if c.file, err = os.Open(path); err != nil {
		return c, err
	}
	dsn := (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: "mode=rw&_busy_timeout=1000"}).String()
	if c.db, err = sql.Open("sqlite3", dsn); err != nil {
		return c, err
	}
	c.db.SetMaxOpenConns(1)
	var mode string
	if err := c.db.QueryRow("PRAGMA journal_mode").Scan(&mode); err != nil {
		return c, busy(err)
	}
	if mode != "wal" {
		return c, fmt.Errorf("%w but in mode %s", errNotWAL, mode)
	}
	// Reading opens the log and, if nobody has it open, makes its index.
	if _, err := c.db.Exec("PRAGMA wal_autocheckpoint=0; SELECT count(*) FROM sqlite_schema; PRAGMA busy_timeout=0"); err != nil {
		return c, busy(err)
	}
	if c.log, err = os.OpenFile(path+"-wal", os.O_RDWR, 0); err != nil {
		return c, err
	}
	if c.index, err = openIndex(path + "-shm"); err != nil {
		return c, err
	}
	return c, c.accept()
}

// busy names the error of a lock that others have.
func busy(err error) error {
	var e sqlite3.Error
	if errors.As(err, &e) && (e.Code == sqlite3.ErrBusy || e.Code == sqlite3.ErrLocked) {
		return fmt.Errorf("%w: %w", errBusy, err)
	}
	return err
}

// close ends all. The connection goes first, as its locks end with any descriptor. The
// last one out removes the log.
func (c *liveCopy) close() (err error) {
	if c.db != nil {
		err = c.db.Close()
	}
	if c.index != nil {
		err = errors.Join(err, c.index.close())
	}
	for _, f := range []*os.File{c.log, c.file} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

// writeLock is the byte of the index whose lock SQLite's writers hold.
const writeLock = 120

// locked runs do with SQLite's write lock, unless somebody else has it.
func (c *liveCopy) locked(do func() error) error {
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: writeLock, Len: 1}
	err := unix.FcntlFlock(c.index.file.Fd(), unix.F_SETLK, &lock)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return errBusy
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", c.index.file.Name(), err)
	}
	lock.Type = unix.F_UNLCK
	return errors.Join(do(), unix.FcntlFlock(c.index.file.Fd(), unix.F_SETLK, &lock))
}

// change gives the pages that pages writes new content, and the database the length that
// it returns, in pages. Readers see all of it when pages has returned, or nothing.
func (c *liveCopy) change(pageSize uint32, pages func(write func(pgno uint32, data []byte) error) (commit uint32, err error)) error {
	return c.locked(func() error {
		h, err := c.index.header()
		if err != nil {
			return err
		}
		if h.Change != c.left.Change || h.Frames != 0 && h != c.left {
			return errForeign
		}
		w, err := c.append(h, pageSize)
		if err != nil {
			return err
		}
		commit, err := pages(w.write)
		if err != nil || len(w.pages) == 0 {
			return err
		}
		return w.commit(commit)
	})
}

// accept takes the copy as it is now, whoever has written to it.
func (c *liveCopy) accept() error {
	return c.locked(func() (err error) {
		c.left, err = c.index.header()
		return err
	})
}

// logWriter appends a transaction to the log of a copy.
type logWriter struct {
	copy   *liveCopy
	before indexHeader
	header wal.Header
	chain  [2]uint32
	pages  []uint32 // of the frames, the one that waits included
	last   []byte   // content of the one that waits, as only the last ends the transaction
	buffer []byte   // frames that are not in the file yet
	at     int64    // offset in the file where they go
}

// appendBytes is how much is written to the log at once.
const appendBytes = 1 << 20

// append begins a transaction after h, in a new generation of the log where it is empty.
func (c *liveCopy) append(h indexHeader, pageSize uint32) (*logWriter, error) {
	w := &logWriter{copy: c, before: h, chain: h.Chain}
	if h.Frames > 0 {
		if h.pageSize != pageSize {
			return nil, fmt.Errorf("%w: pages of %d bytes, want %d", errForeign, h.pageSize, pageSize)
		}
		w.header = wal.Header{BigEndian: wal.BigEndian, PageSize: pageSize, Salts: h.Salts}
		w.at = wal.FrameOffset(h.Frames+1, pageSize)
		return w, nil
	}
	var salts [8]byte
	_, _ = rand.Read(salts[:]) // never fails
	w.header = wal.NewHeader(pageSize, 0, [2]uint32{binary.BigEndian.Uint32(salts[:]), binary.BigEndian.Uint32(salts[4:])})
	w.chain, w.at = w.header.Chain, wal.HeaderSize
	b := w.header.Bytes()
	_, err := c.log.WriteAt(b[:], 0)
	return w, err
}

// write adds a page, each once.
func (w *logWriter) write(pgno uint32, data []byte) error {
	if err := w.flushLast(0); err != nil {
		return err
	}
	w.pages, w.last = append(w.pages, pgno), append(w.last[:0], data...)
	return nil
}

// flushLast adds the frame that waits to the buffer.
func (w *logWriter) flushLast(commit uint32) error {
	if len(w.pages) == 0 {
		return nil
	}
	w.buffer, w.chain = w.header.AppendFrame(w.buffer, w.chain, w.pages[len(w.pages)-1], commit, w.last)
	if commit == 0 && len(w.buffer) < appendBytes {
		return nil
	}
	n, err := w.copy.log.WriteAt(w.buffer, w.at)
	w.at += int64(n)
	w.buffer = w.buffer[:0]
	return err
}

// commit ends the transaction. It is not synced: after a crash of the machine SQLite
// finds the last transaction that is whole, which is an older state.
func (w *logWriter) commit(commit uint32) error {
	if err := w.flushLast(commit); err != nil {
		return err
	}
	h := w.before
	if err := w.copy.index.add(h.Frames, w.pages); err != nil {
		return err
	}
	h.Change++
	h.Frames += uint32(len(w.pages))
	h.Pages, h.Chain, h.Salts, h.pageSize = commit, w.chain, w.header.Salts, w.header.PageSize
	w.copy.index.publish(h)
	w.copy.left = h
	return nil
}

// checkpoint copies the log into the file, and then empties it, as far as readers let it.
// whole says that nothing is in the log that is not in the file.
func (c *liveCopy) checkpoint() (whole bool, err error) {
	for _, mode := range []string{"PASSIVE", "TRUNCATE"} {
		var incomplete, frames, copied int64
		if err := c.db.QueryRow("PRAGMA wal_checkpoint("+mode+")").Scan(&incomplete, &frames, &copied); err != nil {
			return false, busy(err)
		}
		if frames != copied {
			return false, nil
		}
	}
	return true, nil
}

// settle takes the index's header as a checkpoint has left it, if nobody else has written.
func (c *liveCopy) settle() error {
	return c.locked(func() error {
		h, err := c.index.header()
		if err == nil && h.Change != c.left.Change {
			err = errForeign
		}
		if err == nil {
			c.left = h
		}
		return err
	})
}
