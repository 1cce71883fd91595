package replica

import (
	"context"
	"fmt"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/wal"
)

// Position returns the place in the database's log that o ends at. It reads the
// object's header only. An object that did not come from a log, or is not ours,
// has a position without a frame.
func (r *Replica) Position(ctx context.Context, o Object) (wal.Position, error) {
	body, err := r.store.Get(ctx, o.Key(), 0, ltx.HeaderSize)
	if err != nil {
		return wal.Position{}, fmt.Errorf("read %s: %w", o.Key(), err)
	}
	defer body.Close()
	tracked := &trackedBody{ReadCloser: body}
	h, _, err := ltx.DecodeHeader(tracked)
	if err == nil {
		err = checkHeader(h, o)
	}
	if err != nil {
		return wal.Position{}, tracked.blame(o.Key(), err)
	}
	return position(h, o)
}

// position takes from h where in the log the object ends, and from o what vouches
// for it.
func position(h ltx.Header, o Object) (wal.Position, error) {
	pos := wal.Position{PageSize: h.PageSize, Commit: h.Commit, Boot: o.Boot}
	if h.WALOffset == 0 || o.Format == 0 {
		return pos, nil
	}
	frames := h.WALOffset + h.WALSize - wal.HeaderSize
	size := int64(wal.FrameHeaderSize + h.PageSize)
	if frames < size || frames%size != 0 || frames/size > 1<<32-1 {
		return wal.Position{}, damaged(o.Key(), fmt.Errorf("its end at offset %d of the log is not that of a frame",
			h.WALOffset+h.WALSize))
	}
	pos.Salts = [2]uint32{h.WALSalt1, h.WALSalt2}
	pos.Frame = uint32(frames / size)
	pos.Chain = o.Chain
	return pos, nil
}

// checkHeader compares h with the name of its object and with what every reader
// relies on.
func checkHeader(h ltx.Header, o Object) error {
	if err := h.Validate(); err != nil {
		return err
	}
	if h.MinTXID != o.Min || h.MaxTXID != o.Max {
		return fmt.Errorf("its header says %s-%s", h.MinTXID, h.MaxTXID)
	}
	if h.Commit == 0 {
		return fmt.Errorf("its header says a database of no pages")
	}
	return nil
}
