package wal

// Position is a place between two transactions: what a replica holds of a
// database, in terms of the log that it was read from. The zero Position is
// the place before everything.
type Position struct {
	PageSize uint32    // bytes
	Commit   uint32    // database size in pages
	Salts    [2]uint32 // of the log's header; zero when the log held nothing
	Frame    uint32    // number of the last frame taken, always a commit; 0 for none
	Chain    [2]uint32 // that frame's checksum words: cumulative over the log up to it
	Boot     string    // boot id of the machine that read it
}

// Sizes of the log's parts, in bytes.
const (
	HeaderSize      = 32
	FrameHeaderSize = 24
)

// FrameOffset returns where frame n, counted from 1, begins in a log with pages
// of pageSize bytes.
func FrameOffset(n, pageSize uint32) int64 {
	return HeaderSize + int64(n-1)*int64(FrameHeaderSize+pageSize)
}

// Offset returns the end of the last frame taken, in bytes from the start of
// the log; 0 when none was.
func (p Position) Offset() int64 {
	if p.Frame == 0 {
		return 0
	}
	return FrameOffset(p.Frame+1, p.PageSize)
}
