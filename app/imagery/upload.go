package imagery

import (
	"context"
	"fmt"
	"io"
)

// Upload is one photo that was received completely and has passed Filter.Inspect.
type Upload struct {
	ID          string
	Hash        string // lower-case hex SHA-256 of the bytes
	ContentType string // of the sniffed format
	Body        io.ReadSeeker
	Size        int64
	Trace       string // trace context, sent with the hint
}

// Accept stores the upload, moves the image to Uploaded and sends its hint. When it returns without err, the upload is
// durable.
//
// The order is object, item, hint. A crash leaves at worst an object that no item refers to, or an image whose hint the
// reconciler sends. Accept returns ErrNotFound if there is no such image, and ErrAlreadyUploaded if the image has other
// bytes; then it stores nothing, unless it loses a race after storing. The same bytes succeed in every state. hintErr
// reports a hint that could not be sent; it is for the log only, the upload has succeeded. Accept does not retry
// transient errors; callers may repeat it safely.
func (s *Service) Accept(ctx context.Context, u Upload) (img Image, hintErr, err error) {
	if img, err = s.Get(ctx, u.ID); err != nil {
		return Image{}, nil, err
	}
	key, stored := RawKey(u.ID, u.Hash), false
	img, err = s.change(ctx, img, func(img Image) (Image, error) {
		open := CanMove(img.State, Uploaded)
		if !open && img.RawKey != key {
			return img, ErrAlreadyUploaded
		}
		if !stored && img.State != Processed {
			if err := s.Blobs.Put(ctx, key, u.ContentType, u.Body, u.Size); err != nil {
				return img, fmt.Errorf("store %s: %w", key, err)
			}
			stored = true
			s.Hit(AfterObject, u.ID)
		}
		if !open {
			return img, nil // the same bytes were uploaded before
		}
		to := img.move(Uploaded, s.Now(), s.sign(Event{}))
		to.RawKey, to.Hinted = key, to.Updated
		return to, nil
	})
	if err != nil {
		return Image{}, nil, err
	}
	if img.State == Processed {
		return img, nil, nil
	}
	return img, s.hint(ctx, img, u.Trace), nil
}

// hint sends the hint of the image within sendTimeout.
func (s *Service) hint(ctx context.Context, img Image, trace string) error {
	// Send even if the client has disconnected, so that its photo does not wait for the reconciler.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
	defer cancel()
	s.Hit(BeforeHint, img.ID)
	if err := s.Queue.Send(ctx, hintFor(img), trace); err != nil {
		return fmt.Errorf("send hint for image %s: %w", img.ID, err)
	}
	s.Hit(AfterHint, img.ID)
	return nil
}
