package imagery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Service moves images along. Fields without a remark must be set.
type Service struct {
	Catalog     Catalog
	Blobs       Blobs
	Queue       Queue
	DeadLetters Queue
	Filter      Filter // nil in a process that never calls Process
	Now         func() time.Time

	// Release and Instance sign the history of an image.
	Release, Instance string
	// UploadLife is the age at which the bucket may have deleted an original.
	UploadLife time.Duration
	// ResendAfter is the age at which an unfinished image gets its hint again for the first time.
	ResendAfter time.Duration
	// Hook, if set, is called at every commit point; tests crash the process there.
	Hook func(p Failpoint, id string)
}

// maxConflicts bounds the read-decide-write loop. Each lost race means that somebody else made progress, and
// an image has at most a handful of writers at any moment.
const maxConflicts = 8

// sendTimeout bounds the hint after an upload: the upload is already safe, and the reconciler sends lost hints.
const sendTimeout = 2 * time.Second

// Get returns the image; ErrInvalidID, or ErrNotFound also when it is past its expiry.
func (s *Service) Get(ctx context.Context, id string) (Image, error) {
	id, err := ParseID(id)
	if err != nil {
		return Image{}, err
	}
	img, err := s.Catalog.Get(ctx, id)
	if err != nil {
		return Image{}, fmt.Errorf("get image %s: %w", id, err)
	}
	if img.Expired(s.Now()) {
		return Image{}, fmt.Errorf("get image %s: %w", id, ErrNotFound)
	}
	return img, nil
}

// Create makes a new image under the given id, or a random one if it is empty. When the id exists already
// that image is returned as it is, and fresh is false: a repeated create is the same as one.
func (s *Service) Create(ctx context.Context, id string) (img Image, fresh bool, err error) {
	if id == "" {
		id = NewID()
	}
	if id, err = ParseID(id); err != nil {
		return Image{}, false, err
	}
	for attempt := range maxConflicts {
		if err := pause(ctx, attempt); err != nil {
			return Image{}, false, err
		}
		now := s.Now().Truncate(time.Millisecond)
		img = Image{ID: id, State: Created, Created: now, Updated: now, Expires: now.Add(createdLife).Truncate(time.Second)}
		err = s.Catalog.Create(ctx, img, now)
		if err == nil {
			return img, true, nil
		}
		if !errors.Is(err, ErrExists) {
			return Image{}, false, fmt.Errorf("create image %s: %w", id, err)
		}
		old, err := s.Get(ctx, id)
		if err == nil {
			return old, false, nil
		}
		if !errors.Is(err, ErrNotFound) { // it expired between the two calls: create it anew
			return Image{}, false, err
		}
	}
	return Image{}, false, fmt.Errorf("create image %s: %w", id, ErrConflict)
}

// pause waits a little before every attempt but the first: 0 to 20 ms, doubling, so that writers that
// collided once do not collide in step.
func pause(ctx context.Context, attempt int) error {
	if attempt == 0 {
		return ctx.Err()
	}
	t := time.NewTimer(rand.N(20 * time.Millisecond << min(attempt-1, 5)))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// sign adds to a transition who made it.
func (s *Service) sign(e Event) Event {
	e.Release, e.Instance = s.Release, s.Instance
	return e
}
