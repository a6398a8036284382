package imagery

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Errors for which Requeue does not change an image.
var (
	// ErrNothingToRequeue is returned when the image is neither Failed nor Uploaded.
	ErrNothingToRequeue = errors.New("nothing to requeue")
	// ErrOriginalGone is returned when the original no longer exists; only a new upload can help.
	ErrOriginalGone = errors.New("the original is gone, its user must upload it again")
	// ErrNotSelected is returned when the current image does not meet the caller's condition.
	ErrNotSelected = errors.New("the image does not match the selection, or no longer does")
)

// Finder checks whether an object exists without reading it. The roles do not use it: they have no permission to list
// the bucket, without which a missing object cannot be distinguished from a forbidden one.
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
	for attempt := range maxConflicts {
		if err := backoff(ctx, attempt); err != nil {
			return Image{}, false, err
		}
		if img, err = s.Get(ctx, id); err != nil {
			return Image{}, false, err
		}
		if selected != nil && !selected(img) {
			return img, false, ErrNotSelected
		}
		if img.State != Uploaded && img.State != Failed {
			return img, false, fmt.Errorf("image %s is %s: %w", img.ID, img.State, ErrNothingToRequeue)
		}
		if err := objects.Find(ctx, img.RawKey); errors.Is(err, ErrNotFound) {
			return img, false, fmt.Errorf("image %s: %w", img.ID, ErrOriginalGone)
		} else if err != nil {
			return img, false, fmt.Errorf("find %s: %w", img.RawKey, err)
		}
		if img.State == Uploaded {
			return img, false, s.hint(ctx, img, "")
		}
		to := img.move(Uploaded, s.Now(), s.sign(Event{Cause: "requeued by an operator"}))
		to.Hinted = to.Updated
		err = s.Catalog.Move(ctx, img, to)
		if err == nil {
			s.Hit(AfterMove, img.ID)
			return to, true, s.hint(ctx, to, "")
		}
		if !errors.Is(err, ErrConflict) {
			return img, false, fmt.Errorf("move image %s to %s: %w", img.ID, Uploaded, err)
		}
	}
	return img, false, fmt.Errorf("requeue image %s: %w", img.ID, ErrConflict)
}

// NextHint returns the time at which the reconciler sends the hint of an unfinished image again.
func (s *Service) NextHint(img Image) time.Time {
	for n := 1; ; n++ {
		if at := img.Updated.Add(dueAge(n, s.ResendAfter)); img.Hinted.Before(at) {
			return at
		}
	}
}
