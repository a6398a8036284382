package imagery

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The reasons for which Requeue leaves an image alone.
var (
	// ErrNothingToRequeue: the image is neither failed nor unfinished, so there is nothing to bring back.
	ErrNothingToRequeue = errors.New("nothing to bring back")
	// ErrOriginalGone: without its original an image cannot be processed; only its user can help.
	ErrOriginalGone = errors.New("the original is gone, its user must upload it again")
	// ErrNotSelected: the caller's own condition does not hold for the image as it is now.
	ErrNotSelected = errors.New("the image is not, or no longer, one of those that were asked for")
)

// Finder knows whether an object exists without reading it. It is no port of the roles: they have no right to
// list the bucket, and without it a missing object cannot be told from a forbidden one.
type Finder interface {
	// Find returns nil if the object exists, and ErrNotFound or ErrDenied like Blobs.Get.
	Find(ctx context.Context, key string) error
}

// Requeue is how an operator brings an image back after the cause of its failure was mended: a failed image
// becomes uploaded again, with the same original, and its hint is sent; moved says so. An unfinished image
// only gets its hint again, so that Requeue may be repeated, also after a crash between its two steps. An
// error with moved set is one of the hint alone, which the reconciler sends later. meant is asked of the image
// as it was read last; nil asks nothing.
func (s *Service) Requeue(ctx context.Context, id string, objects Finder, meant func(Image) bool) (img Image, moved bool, err error) {
	for attempt := range maxConflicts {
		if err := pause(ctx, attempt); err != nil {
			return Image{}, false, err
		}
		if img, err = s.Get(ctx, id); err != nil {
			return Image{}, false, err
		}
		if meant != nil && !meant(img) {
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
		to := img.move(Uploaded, s.Now(), s.sign(Event{Cause: "brought back by an operator"}))
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

// NextHint is when the reconciler sends the hint of an unfinished image again.
func (s *Service) NextHint(img Image) time.Time {
	for n := 1; ; n++ {
		if at := img.Updated.Add(dueAge(n, s.ResendAfter)); img.Hinted.Before(at) {
			return at
		}
	}
}
