package imagery

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Upload is one photo that was received completely and has passed Filter.Inspect.
type Upload struct {
	ID          string // as ParseID returns it
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

// hint sends the hint of the image within detachedTimeout. The reconciler sends a hint that is lost here.
func (s *Service) hint(ctx context.Context, img Image, trace string) error {
	// Send even if the client has disconnected, so that its photo does not wait for the reconciler.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), detachedTimeout)
	defer cancel()
	s.Hit(BeforeHint, img.ID)
	if err := s.Queue.Send(ctx, hintFor(img), trace); err != nil {
		return fmt.Errorf("send hint for image %s: %w", img.ID, err)
	}
	s.Hit(AfterHint, img.ID)
	return nil
}

// Errors for which Requeue does not change an image.
var (
	// ErrNothingToRequeue is returned when the image is neither Failed nor Uploaded.
	ErrNothingToRequeue = errors.New("nothing to requeue")
	// ErrOriginalGone is returned when the original no longer exists; only a new upload can help.
	ErrOriginalGone = errors.New("the original is gone, its user must upload it again")
	// ErrNotSelected is returned when the current image does not meet the caller's condition.
	ErrNotSelected = errors.New("the image does not match the selection, or no longer does")
)

// Finder checks whether an object exists without reading it. Only commands of operators use it: the server and the
// workers may not list the bucket, without which a missing object cannot be distinguished from a forbidden one.
type Finder interface {
	// Find returns nil if the object exists, and ErrNotFound or ErrDenied like Blobs.Get.
	Find(ctx context.Context, key string) error
}

// Requeue processes an image again after an operator has fixed the cause of its failure. It moves a Failed image to
// Uploaded with the same original, sends its hint, and reports moved. For an Uploaded image it only sends the hint, so
// that it may be repeated, also after a crash between the two steps. An error with moved set means that only the hint
// could not be sent; the reconciler sends it later. If selected is not nil, it must accept the image as last read.
func (s *Service) Requeue(ctx context.Context, id string, objects Finder, selected func(Image) bool) (
	img Image, moved bool, err error) {
	if img, err = s.Get(ctx, id); err != nil {
		return Image{}, false, err
	}
	img, err = s.change(ctx, img, func(img Image) (Image, error) {
		if selected != nil && !selected(img) {
			return img, ErrNotSelected
		}
		if img.State != Uploaded && img.State != Failed {
			return img, fmt.Errorf("image %s is %s: %w", img.ID, img.State, ErrNothingToRequeue)
		}
		if err := objects.Find(ctx, img.RawKey); errors.Is(err, ErrNotFound) {
			return img, fmt.Errorf("image %s: %w", img.ID, ErrOriginalGone)
		} else if err != nil {
			return img, fmt.Errorf("find %s: %w", img.RawKey, err)
		}
		if moved = img.State == Failed; !moved {
			return img, nil
		}
		to := img.move(Uploaded, s.Now(), s.sign(Event{Cause: "requeued by an operator"}))
		to.Hinted = to.Updated
		return to, nil
	})
	if err != nil {
		return img, false, err
	}
	return img, moved, s.hint(ctx, img, "")
}
