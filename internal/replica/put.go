package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/superfly/ltx"

	"github.com/holdfast-db/holdfast/internal/blob"
)

// errPutEnded is what the encoder meets when the store has stopped reading.
var errPutEnded = errors.New("the store took no more")

// Put writes the object that d describes, streaming it into the store, and
// returns it. blob.ErrExists says that its name was taken before. An error of
// pages is returned in preference to the store's complaint about it. pages is
// called on the caller's goroutine, and not after Put has returned.
func (r *Replica) Put(ctx context.Context, d Draft, pages Pages) (Object, error) {
	if err := d.validate(); err != nil {
		return Object{}, err
	}
	d.Pages = "" // until they have passed
	body, w := io.Pipe()
	meta := encodeMetadata(d.object())
	put := r.putAsync(ctx, d.object(), body, meta)
	ended := false
	defer func() { // pages may panic
		if !ended {
			w.CloseWithError(errPutEnded)
			<-put
		}
	}()
	var list PageList
	encodeErr := Encode(w, d, list.Watch(pages))
	if encodeErr == nil && d.Late != nil {
		d.Digest = d.Late()
		meta[digestKey] = d.Digest.String() // the store reads it after the end of the body
	}
	if d.Pages = list.String(); encodeErr == nil && d.Pages != "" {
		meta[pagesKey] = d.Pages
	}
	w.CloseWithError(encodeErr) // nil is the end of the body
	ended = true
	result := <-put
	if encodeErr != nil && !errors.Is(encodeErr, errPutEnded) {
		return Object{}, encodeErr
	}
	if encodeErr != nil && result.err == nil {
		return Object{}, fmt.Errorf("put %s: %w", result.object.Key(), encodeErr)
	}
	result.object.Digest, result.object.Pages = d.Digest, d.Pages
	return result.object, result.err
}

type putResult struct {
	object Object
	err    error
}

// putAsync puts body as o on a goroutine of its own, which ends when body does.
func (r *Replica) putAsync(ctx context.Context, o Object, body *io.PipeReader, meta blob.Metadata) <-chan putResult {
	done := make(chan putResult, 1)
	go func() {
		object, err := r.put(ctx, o, body, meta)
		body.CloseWithError(errPutEnded)
		done <- putResult{object, err}
	}()
	return done
}

// PutEncoded writes an object that Encode has written before, from body. The
// file's header must be that of d.
func (r *Replica) PutEncoded(ctx context.Context, d Draft, body io.Reader) (Object, error) {
	if err := d.validate(); err != nil {
		return Object{}, err
	}
	var got [ltx.HeaderSize]byte
	if _, err := io.ReadFull(body, got[:]); err != nil {
		return Object{}, fmt.Errorf("read the encoded %s: %w", d.object().Key(), err)
	}
	h := d.header()
	want, err := h.MarshalBinary()
	if err != nil {
		return Object{}, err
	}
	if !bytes.Equal(got[:], want) {
		return Object{}, fmt.Errorf("%w: the encoded %s has another header than was announced", ErrDamaged, d.object().Key())
	}
	return r.put(ctx, d.object(), io.MultiReader(bytes.NewReader(got[:]), body), encodeMetadata(d.object()))
}

func (r *Replica) put(ctx context.Context, o Object, body io.Reader, meta blob.Metadata) (Object, error) {
	size, err := r.store.Put(ctx, o.Key(), body, meta)
	if err != nil {
		return Object{}, fmt.Errorf("put %s: %w", o.Key(), err)
	}
	o.Size = size
	return o, nil
}
