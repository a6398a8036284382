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

// NextHint returns the time at which the reconciler sends the hint of an unfinished image again.
func (s *Service) NextHint(img Image) time.Time {
	for n := 1; ; n++ {
		if at := img.Updated.Add(dueAge(n, s.ResendAfter)); img.Hinted.Before(at) {
			return at
		}
	}
}
