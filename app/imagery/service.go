package imagery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Service implements all operations on images. Fields are required unless their comment says otherwise.
type Service struct {
	Catalog     Catalog
	Blobs       Blobs
	Queue       Queue
	DeadLetters Queue
	Filter      Filter // may be nil in a process that never calls Process
	Now         func() time.Time

	// Release and Instance identify this process in the history of an image.
	Release, Instance string
	// UploadLife is the age after which the bucket's lifecycle rule may have deleted an original.
	UploadLife time.Duration
	// ResendAfter is the age of an upload at which its hint is sent again for the first time.
	ResendAfter time.Duration
	// Hook, if set, is called at every failpoint; tests crash the process there.
	Hook func(p Failpoint, id string)
}

// maxConflicts limits the attempts of the read-decide-write loop. Each conflict means that another writer made
// progress, and an image has only a few concurrent writers.
const maxConflicts = 8

// sendTimeout limits sending the hint after an upload. The photo is already stored, and the reconciler sends lost
// hints.
const sendTimeout = 2 * time.Second

// Get returns the image, ErrInvalidID, or ErrNotFound if the image does not exist or has expired.
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

// Create creates an image with the given id, or a random one if id is empty. If the image exists, Create returns it
// unchanged with fresh false, so that a repeated call is safe.
func (s *Service) Create(ctx context.Context, id string) (img Image, fresh bool, err error) {
	if id == "" {
		id = NewID()
	}
	if id, err = ParseID(id); err != nil {
		return Image{}, false, err
	}
	for attempt := range maxConflicts {
		if err := backoff(ctx, attempt); err != nil {
			return Image{}, false, err
		}
		now := s.Now().Truncate(time.Millisecond)
		expires := now.Add(createdLife).Truncate(time.Second)
		img = Image{ID: id, State: Created, Created: now, Updated: now, Expires: expires}
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

// backoff sleeps before every attempt but the first: full jitter over 20 ms, doubling up to 640 ms. It returns the
// error of ctx if that ends first.
func backoff(ctx context.Context, attempt int) error {
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

// sign sets the release and instance of the process that makes the transition.
func (s *Service) sign(e Event) Event {
	e.Release, e.Instance = s.Release, s.Instance
	return e
}
