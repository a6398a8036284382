// Package imagery implements the domain: the state machine of an image, and the upload, processing and repair of
// images, so that an accepted photo is never lost.
//
// The catalog is the source of truth and a queue message is only a hint. Every decision is made from a fresh,
// consistent read of the item, every change is a conditional write, and every step is safe to repeat, to reorder
// and to lose.
// The package imports the standard library only. Storage is reached through the ports Catalog, Blobs and Queue,
// the photo filter through Filter. The package does not depend on HTTP, AWS, SQLite or an image codec.
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

// maxConflicts limits the attempts of untilNoConflict. Each conflict means that another writer made
// progress, and an image has only a few concurrent writers.
const maxConflicts = 8

// detachedTimeout limits a call that does not end with the context of its caller: sending a hint, recording a failure,
// returning dead letters.
const detachedTimeout = 2 * time.Second

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
	err = untilNoConflict(ctx, func(int) error {
		now := s.Now().Truncate(time.Millisecond)
		expires := now.Add(createdLife).Truncate(time.Second)
		img = Image{ID: id, State: Created, Created: now, Updated: now, Expires: expires}
		err := s.Catalog.Create(ctx, img, now)
		fresh = err == nil
		if !errors.Is(err, ErrExists) {
			return err
		}
		if img, err = s.Get(ctx, id); errors.Is(err, ErrNotFound) {
			return ErrConflict // it expired between the two calls: create it anew
		}
		return err
	})
	if err != nil {
		return Image{}, false, fmt.Errorf("create image %s: %w", id, err)
	}
	return img, fresh, nil
}

// change moves img to the image that decide returns, and returns the latter. After a lost race it reads the image and
// calls decide again. It writes nothing if decide returns its argument or an error.
func (s *Service) change(ctx context.Context, img Image, decide func(Image) (Image, error)) (Image, error) {
	err := untilNoConflict(ctx, func(attempt int) (err error) {
		if attempt > 0 {
			if img, err = s.Get(ctx, img.ID); err != nil {
				return err
			}
		}
		to, err := decide(img)
		if err != nil || to.Version == img.Version {
			return err
		}
		if err := s.Catalog.Move(ctx, img, to); err != nil {
			return fmt.Errorf("move image %s to %s: %w", img.ID, to.State, err)
		}
		img = to
		switch img.State {
		case Uploaded:
			s.Hit(AfterMove, img.ID)
		case Processed:
			s.Hit(AfterProcessed, img.ID)
		}
		return nil
	})
	return img, err
}

// untilNoConflict repeats a read-decide-write attempt, numbered from 0, while it returns ErrConflict.
func untilNoConflict(ctx context.Context, try func(attempt int) error) error {
	var err error
	for attempt := range maxConflicts {
		if err := backoff(ctx, attempt); err != nil {
			return err
		}
		if err = try(attempt); !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return err
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

// Failpoint names a point between two side effects at which a crash must not lose data.
type Failpoint string

// The failpoints, in the order in which an image passes them.
const (
	AfterObject    Failpoint = "after-object"    // upload: the original is stored, the item is not updated yet
	AfterMove      Failpoint = "after-move"      // upload: the item is Uploaded
	BeforeHint     Failpoint = "before-hint"     // the hint is not sent yet
	AfterHint      Failpoint = "after-hint"      // the hint is queued, the client has no response yet
	MidFilter      Failpoint = "mid-filter"      // worker: the photo is being processed
	AfterResult    Failpoint = "after-result"    // worker: the result is stored, the item is not updated yet
	AfterProcessed Failpoint = "after-processed" // worker: the item is Processed
	BeforeAck      Failpoint = "before-ack"      // worker: the message is still queued
)

// Failpoints lists all failpoints.
var Failpoints = []Failpoint{
	AfterObject, AfterMove, BeforeHint, AfterHint, MidFilter, AfterResult, AfterProcessed, BeforeAck,
}

// Hit calls the Hook, if it is set, with the failpoint and the id of the image.
func (s *Service) Hit(p Failpoint, id string) {
	if s.Hook != nil {
		s.Hook(p, id)
	}
}
