package blob

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// maxMetadata is Azure's limit for the keys and values of one object, in bytes.
const maxMetadata = 8 << 10

// CheckKey says whether every driver can keep an object under key: segments
// joined by single slashes, in UTF-8 without control characters or backslashes.
// Segments that begin with a dot and names that end in .tmp belong to the file
// driver and to Litestream's unfinished files.
func CheckKey(key string) error {
	switch {
	case key == ".", !fs.ValidPath(key):
		return fmt.Errorf("%w: key %q is not a relative path", ErrInvalid, key)
	case strings.HasPrefix(key, "."), strings.Contains(key, "/."), strings.HasSuffix(key, ".tmp"):
		return fmt.Errorf("%w: key %q is reserved", ErrInvalid, key)
	case strings.ContainsFunc(key, unsafeInKey):
		return fmt.Errorf("%w: key %q has a control character or a backslash", ErrInvalid, key)
	}
	return nil
}

func unsafeInKey(r rune) bool { return r < 0x20 || r == 0x7f || r == '\\' }

// Check says whether every driver gives m back unchanged: keys of lower-case
// letters and digits that begin with a letter; values of printable ASCII,
// neither empty nor with a space at an end; at most 8 KiB in all.
func (m Metadata) Check() error {
	size := 0
	for key, value := range m {
		size += len(key) + len(value)
		if !validMetadataKey(key) {
			return fmt.Errorf("%w: metadata key %q: want lower-case letters and digits", ErrInvalid, key)
		}
		if value == "" || value != strings.TrimSpace(value) || strings.ContainsFunc(value, unsafeInHeader) {
			return fmt.Errorf("%w: metadata %s: want printable ASCII without spaces around it", ErrInvalid, key)
		}
	}
	if size > maxMetadata {
		return fmt.Errorf("%w: metadata of %d bytes, want at most %d", ErrInvalid, size, maxMetadata)
	}
	return nil
}

func validMetadataKey(key string) bool {
	for i, c := range []byte(key) {
		letter, digit := c >= 'a' && c <= 'z', c >= '0' && c <= '9'
		if !letter && (!digit || i == 0) {
			return false
		}
	}
	return key != ""
}

func unsafeInHeader(r rune) bool { return r < 0x20 || r > 0x7e }

// Body reads what a put stores until ctx is done, and keeps its source's
// error apart from the errors of the store.
type Body struct {
	ctx context.Context
	r   io.Reader
	err error
}

// NewBody returns a reader of r. A Read that blocks inside r is not interrupted.
func NewBody(ctx context.Context, r io.Reader) *Body { return &Body{ctx: ctx, r: r} }

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		b.err = err
		return 0, err
	}
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// Err returns what ended the reading other than the end of r.
func (b *Body) Err() error { return b.err }
