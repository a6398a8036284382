package imagery

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Upload is one photo that was received in full and passed Inspect.
type Upload struct {
	ID          string
	Hash        string // lower-case hex SHA-256 of the bytes
	ContentType string // of the sniffed format
	Body        io.ReadSeeker
	Size        int64
	Trace       string // travels with the hint
}

// Accept stores the upload and asks for its processing; the image it returns is kept whatever dies next.
//
// The order is object, item, hint, so that a crash leaves at worst an object that nobody names, or an image
// whose hint the reconciler sends. Nothing is stored when the image takes no more bytes (ErrAlreadyUploaded), except
// by the loser of a race. The same bytes again succeed in every state; ErrNotFound if there is no such
// image. hintErr reports a hint that could not be sent: for the log, the upload is a success all the same.
// Retries are the caller's: every repetition is safe.
func (s *Service) Accept(ctx context.Context, u Upload) (img Image, hintErr, err error) {
	key, stored := RawKey(u.ID, u.Hash), false
	for attempt := range maxConflicts {
		if err := pause(ctx, attempt); err != nil {
			return Image{}, nil, err
		}
		if img, err = s.Get(ctx, u.ID); err != nil {
			return Image{}, nil, err
		}
		open := CanMove(img.State, Uploaded)
		if !open && img.RawKey != key {
			return Image{}, nil, ErrAlreadyUploaded
		}
		if img.State == Processed {
			return img, nil, nil
		}
		if !stored {
			if err = s.Blobs.Put(ctx, key, u.ContentType, u.Body, u.Size); err != nil {
				return Image{}, nil, fmt.Errorf("store %s: %w", key, err)
			}
			stored = true
			s.Hit(AfterObject, u.ID)
		}
		if !open { // uploaded before, with these bytes: only the hint again
			return img, s.hint(ctx, img, u.Trace), nil
		}
		to := img.move(Uploaded, s.Now(), s.sign(Event{}))
		to.RawKey, to.Hinted = key, to.Updated
		err = s.Catalog.Move(ctx, img, to)
		if err == nil {
			s.Hit(AfterMove, u.ID)
			return to, s.hint(ctx, to, u.Trace), nil
		}
		if !errors.Is(err, ErrConflict) {
			return Image{}, nil, fmt.Errorf("move image %s to %s: %w", u.ID, Uploaded, err)
		}
	}
	return Image{}, nil, fmt.Errorf("upload to image %s: %w", u.ID, ErrConflict)
}

// hint sends the image's hint in bounded time.
func (s *Service) hint(ctx context.Context, img Image, trace string) error {
	// The client may hang up now; its photo is accepted and should not wait for the reconciler.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
	defer cancel()
	s.Hit(BeforeHint, img.ID)
	if err := s.Queue.Send(ctx, hintFor(img), trace); err != nil {
		return fmt.Errorf("send hint for image %s: %w", img.ID, err)
	}
	s.Hit(AfterHint, img.ID)
	return nil
}
