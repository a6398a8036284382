package server

import (
	"context"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"mime/multipart"

	"imagery/app/deploy/settings"
)

// sniffBytes are enough to tell every format, and whether a WebP is animated.
const sniffBytes = 64

// A full upload ends where a chunk ends, so that it needs no further chunk.
var _ [0]struct{} = [settings.MaxUploadBytes % chunkSize]struct{}{}

// inspectBytes is when a photo's headers are judged before it has arrived: most of them, with their thumbnails, end
// before.
const inspectBytes = 256 << 10

// receiver takes in the bytes of one file and judges them as they come.
type receiver struct {
	s           *Server
	hold        *hold
	body        *body // of the request
	hash        hash.Hash
	contentType string // empty until it was sniffed
	inspected   bool   // the first inspectBytes were
}

// receive reads the file into the hold and the form to its end. Whatever ends the reading, the bytes that did
// arrive are judged before the reason counts, for that is the order of refusals; only want of room comes first.
func (v *receiver) receive(ctx context.Context, form *multipart.Reader, file *multipart.Part) error {
	err := v.readFile(ctx, file)
	whole := err == nil
	if whole {
		err = finish(form, v.body)
	}
	if evicted := v.hold.settle(); evicted != nil {
		return evicted
	}
	if errors.Is(err, errNoRoom) {
		return err
	}
	if bad := v.judge(whole); bad != nil {
		return bad
	}
	return err
}

// readFile reads the file until it ends or has to be refused. Its type is known from the first few bytes and
// its header usually within inspectBytes, so that a hopeless upload does not cost its sender 20 MiB.
func (v *receiver) readFile(ctx context.Context, file io.Reader) error {
	for v.hold.size < settings.MaxUploadBytes {
		fresh, err := v.hold.fill(ctx, file)
		v.hash.Write(fresh)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return bodyError(err)
		}
		if v.contentType == "" && v.hold.size >= sniffBytes {
			if err := v.sniff(); err != nil {
				return err
			}
		}
		if !v.inspected && v.hold.size >= inspectBytes {
			v.inspected = true
			if err := v.judge(false); err != nil {
				return err
			}
		}
	}
	switch _, err := io.ReadFull(file, make([]byte, 1)); err {
	case nil:
		return errTooLarge
	case io.EOF:
		return nil
	default:
		return bodyError(err)
	}
}

// sniff finds the content type; it stays empty as long as the bytes show none.
func (v *receiver) sniff() error {
	t, err := v.s.Sniff(v.hold.head())
	if err == nil {
		v.contentType = t
	}
	return err
}

// judge refuses a photo by its type and headers. Of a photo that is not whole only what more bytes cannot
// change counts.
func (v *receiver) judge(whole bool) error {
	if v.contentType == "" {
		if err := v.sniff(); err != nil && !whole && v.hold.size < sniffBytes {
			return nil
		} else if err != nil {
			return err
		}
	}
	err := v.s.Inspect(v.hold.reader())
	if !whole && errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// sum is the hash of all bytes, as keys have it.
func (v *receiver) sum() string { return hex.EncodeToString(v.hash.Sum(nil)) }
