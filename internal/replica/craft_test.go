package replica_test

import (
	"bytes"
	"encoding/binary"
	"hash"
	"hash/crc64"
	"testing"

	"github.com/pierrec/lz4/v4"
	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/replica"
)

// crafter writes LTX by hand, so that tests can have files that no encoder
// makes. Its checksum is right whatever the content.
type crafter struct {
	t    testing.TB
	b    bytes.Buffer
	hash hash.Hash64
}

// index lists where the pages of a file begin and how long they are.
type index []struct{ pgno, offset, size uint64 }

func newCrafter(t testing.TB, h ltx.Header) *crafter {
	t.Helper()
	c := &crafter{t: t, hash: crc64.New(crc64.MakeTable(crc64.ISO))}
	header, err := h.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	c.write(header)
	return c
}

// write adds b to the file and to the checksum.
func (c *crafter) write(b []byte) {
	c.b.Write(b)
	c.hash.Write(b)
}

// page adds a page: its header and size as they are, then the compressed form,
// of which the checksum sees only data.
func (c *crafter) page(pgno uint32, flags uint16, compressed, data []byte) {
	h := binary.BigEndian.AppendUint32(nil, pgno)
	h = binary.BigEndian.AppendUint16(h, flags)
	if flags&ltx.PageHeaderFlagSize != 0 {
		h = binary.BigEndian.AppendUint32(h, uint32(len(compressed)))
	}
	c.write(h)
	c.b.Write(compressed)
	c.hash.Write(data)
}

// finish adds what follows the pages and returns the file.
func (c *crafter) finish(entries index) []byte {
	c.write(make([]byte, ltx.PageHeaderSize))
	var b []byte
	for _, e := range entries {
		b = binary.AppendUvarint(b, e.pgno)
		b = binary.AppendUvarint(b, e.offset)
		b = binary.AppendUvarint(b, e.size)
	}
	b = append(b, 0)
	b = binary.BigEndian.AppendUint64(b, uint64(len(b)))
	c.write(b)
	c.write(make([]byte, 8)) // post-apply checksum
	c.b.Write(binary.BigEndian.AppendUint64(nil, c.hash.Sum64()|1<<63))
	return c.b.Bytes()
}

// craft returns a file with pages in just this order.
func craft(t testing.TB, txid ltx.TXID, commit uint32, pgnos []uint32) []byte {
	t.Helper()
	c := newCrafter(t, ltx.Header{
		Flags: ltx.HeaderFlagNoChecksum, PageSize: pageSize, Commit: commit, MinTXID: txid, MaxTXID: txid,
	})
	var entries index
	for _, pgno := range pgnos {
		data := numbered(1, pgno)[pgno]
		compressed := make([]byte, lz4.CompressBlockBound(pageSize))
		n, err := lz4.CompressBlock(data, compressed, nil)
		if err != nil {
			t.Fatal(err)
		}
		offset := c.b.Len()
		c.page(pgno, ltx.PageHeaderFlagSize, compressed[:n], data)
		entries = append(entries, struct{ pgno, offset, size uint64 }{uint64(pgno), uint64(offset), uint64(c.b.Len() - offset)})
	}
	return c.finish(entries)
}

// mustEncodeOldFrames writes each page as an LZ4 frame without a size before
// it, as the first LTX files of this version were.
func mustEncodeOldFrames(t testing.TB, d replica.Draft, pages pageMap) []byte {
	t.Helper()
	c := newCrafter(t, ltx.Header{
		Flags: ltx.HeaderFlagNoChecksum, PageSize: pageSize, Commit: d.Position.Commit, MinTXID: d.Min, MaxTXID: d.Max,
	})
	var entries index
	err := pages.each(func(pgno uint32, data []byte) error {
		var frame bytes.Buffer
		w := lz4.NewWriter(&frame)
		if _, err := w.Write(data); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		offset := c.b.Len()
		c.page(pgno, 0, frame.Bytes(), data)
		entries = append(entries, struct{ pgno, offset, size uint64 }{uint64(pgno), uint64(offset), uint64(c.b.Len() - offset)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return c.finish(entries)
}
