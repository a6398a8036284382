package imagery

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// Outcome says how a job ended; every Outcome means that its message is done and may be acknowledged.
type Outcome string

// The outcomes of a job.
const (
	Done       Outcome = "done"        // this job moved the image to Processed
	DoneBefore Outcome = "done_before" // the image was final already, or got a newer upload meanwhile
	GivenUp    Outcome = "failed"      // the photo is bad for good; the image says why
	NoWork     Outcome = "no_work"     // unknown, expired, or not uploaded yet
)

// Job is one delivery of a hint, with what the process that received it can do.
type Job struct {
	Hint     Hint
	Receives int
	Last     bool      // no delivery follows this one
	Sent     time.Time // when the hint was queued; zero if unknown
	// Owned reports whether the delivery still belongs to this process. A worker that lost its message may
	// finish the image, but records no failure: another worker may be about to succeed.
	Owned func() bool
	// Admit waits until there is room for a photo of that cost, and returns the function that gives the room back. With
	// ErrDeferred the photo is left as it is, even at its last delivery: nothing was tried.
	Admit func(ctx context.Context, c Cost) (release func(), err error)
}

// ErrDeferred is returned by Admit for a photo that has to let others go first.
var ErrDeferred = errors.New("other photos go first")

// Report is what happened, for one log line and the metrics. After equals Before when nothing moved.
type Report struct {
	Outcome       Outcome
	Image         Image // as last read or written
	Before, After State
	Cause         error // why the photo was given up
}

// maxRaw bounds the original that a worker reads. Uploads end at 20 MiB; rows of the book's app may hold more.
const maxRaw = 64 << 20

// Process does what the hint's image needs, as its item says. An error means: not done, deliver it again
// later; if it was the last delivery and the hint speaks of the present upload, the image is Failed then,
// while the message is left to become a dead letter.
func (s *Service) Process(ctx context.Context, j Job) (Report, error) {
	img, err := s.Get(ctx, j.Hint.ImageID)
	if errors.Is(err, ErrNotFound) {
		return Report{Outcome: NoWork, Image: Image{ID: j.Hint.ImageID}}, nil
	}
	if err != nil {
		return Report{Image: Image{ID: j.Hint.ImageID}}, err
	}
	r := Report{Image: img, Before: img.State, After: img.State}
	switch img.State {
	case Created:
		r.Outcome = NoWork
		return r, nil
	case Processed, Failed:
		r.Outcome = DoneBefore
		return r, nil
	}
	err = s.work(ctx, j, &r)
	if bad := (*BadPhoto)(nil); errors.As(err, &bad) {
		r.Cause = bad
		err = s.giveUp(ctx, j, &r, bad.Reason)
	} else if err != nil && j.Last && !errors.Is(err, ErrDeferred) && j.Hint.speaksOf(img, j.Sent) {
		err = s.lastTry(ctx, j, &r, err)
	}
	return r, err
}

// lastTry records on the image why its last delivery failed. The error stays, so that the message becomes a
// dead letter; only if somebody else settled the image meanwhile is there nothing left to explain.
func (s *Service) lastTry(ctx context.Context, j Job, r *Report, err error) error {
	r.Cause = err
	// The job's own context may be what ended; this one write decides whether the user is told.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
	defer cancel()
	reason := fmt.Sprintf("It could not be processed in %d attempts: %s.", j.Receives, userCause(err))
	if failErr := s.giveUp(ctx, j, r, reason); failErr != nil {
		return errors.Join(err, failErr)
	}
	if r.Outcome == GivenUp {
		r.Outcome = ""
		return err
	}
	return nil
}

// work takes an Uploaded image to Processed.
func (s *Service) work(ctx context.Context, j Job, r *Report) error {
	img := r.Image
	raw, err := s.Blobs.Get(ctx, img.RawKey, maxRaw)
	if err != nil {
		return s.originalError(img, err)
	}
	cost, err := s.Filter.Inspect(raw)
	if err != nil {
		return err
	}
	release, err := j.Admit(ctx, cost)
	if err != nil {
		return fmt.Errorf("wait for room for %d bytes: %w", cost.Memory, err)
	}
	defer release()
	s.Hit(MidFilter, img.ID)
	result, err := s.Filter.Apply(ctx, raw)
	if err != nil {
		return err
	}
	hash := sha256.Sum256(raw) // not from the key: rows of the book's app have another form
	key := ProcessedKey(img.ID, hex.EncodeToString(hash[:]), result.Ext)
	body := bytes.NewReader(result.Body)
	if err := s.Blobs.Put(ctx, key, result.ContentType, body, body.Size()); err != nil {
		return fmt.Errorf("store %s: %w", key, err)
	}
	s.Hit(AfterResult, img.ID)
	return s.settle(ctx, r, Processed, Event{Receives: j.Receives}, func(to *Image) { to.ProcessedKey = key })
}

// errOriginal marks an original that is missing or may not be read. It stays transient: a wrong policy must
// not fail good photos.
var errOriginal = errors.New("original missing or not readable")

// originalError classifies a failed read of an original.
func (s *Service) originalError(img Image, err error) error {
	if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrDenied) {
		return fmt.Errorf("read %s: %w", img.RawKey, err)
	}
	if s.Now().Sub(img.Updated) > s.UploadLife {
		return &BadPhoto{Kind: Unreadable, Reason: "It could not be processed: the original has expired, upload it again.", Err: err}
	}
	return fmt.Errorf("read %s: %w: %w", img.RawKey, errOriginal, err)
}

// userCause says in the user's words why a photo could not be processed; details are for the log.
func userCause(err error) string {
	switch {
	case errors.Is(err, errOriginal):
		return errOriginal.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return "it took too long"
	case errors.Is(err, context.Canceled):
		return "the service was stopped meanwhile"
	default:
		return "a part of the service did not answer"
	}
}

// giveUp moves the image to Failed with a sentence for its user, if the message is still this process's own.
func (s *Service) giveUp(ctx context.Context, j Job, r *Report, reason string) error {
	if !j.Owned() {
		return fmt.Errorf("image %s: the message was lost to another worker, no failure recorded: %w", r.Image.ID, r.Cause)
	}
	e := Event{Receives: j.Receives, Cause: r.Cause.Error()}
	return s.settle(ctx, r, Failed, e, func(to *Image) { to.Error = reason })
}

// settle moves the image of r to a final state, for as long as that makes sense for the upload that was
// worked on. When the image got other bytes meanwhile, or was settled by somebody else, that is DoneBefore.
func (s *Service) settle(ctx context.Context, r *Report, final State, e Event, set func(*Image)) error {
	at, worked := r.Image, r.Image.RawKey
	for attempt := range maxConflicts {
		if err := pause(ctx, attempt); err != nil {
			return err
		}
		if attempt > 0 {
			var err error
			if at, err = s.Get(ctx, at.ID); errors.Is(err, ErrNotFound) {
				r.Outcome = NoWork
				return nil
			} else if err != nil {
				return err
			}
		}
		// A result is right for these bytes for ever, a failure only for the try in which it happened.
		newer := at.RawKey != worked || final == Failed && at.Version != r.Image.Version
		if newer || !CanMove(at.State, final) {
			r.Outcome, r.Image, r.After = DoneBefore, at, at.State
			return nil
		}
		to := at.move(final, s.Now(), s.sign(e))
		set(&to)
		err := s.Catalog.Move(ctx, at, to)
		if err == nil {
			r.Outcome, r.Image, r.After = outcomeOf[final], to, final
			if final == Processed {
				s.Hit(AfterProcessed, at.ID)
			}
			return nil
		}
		if !errors.Is(err, ErrConflict) {
			return fmt.Errorf("move image %s to %s: %w", at.ID, final, err)
		}
	}
	return fmt.Errorf("settle image %s: %w", r.Image.ID, ErrConflict)
}

var outcomeOf = map[State]Outcome{Processed: Done, Failed: GivenUp}
