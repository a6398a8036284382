package imagery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// Outcome is the result of a job whose message is done and should be deleted. It is empty after an error.
type Outcome string

// The outcomes of a job.
const (
	Done             Outcome = "done"        // this job moved the image to Processed
	AlreadyDone      Outcome = "done_before" // the image was already final, or got a newer upload meanwhile
	PermanentFailure Outcome = "failed"      // the photo cannot be processed; Image.Error says why
	NoWork           Outcome = "no_work"     // unknown, expired, or not uploaded yet
)

// Job is one delivery of a hint, with callbacks into the worker that received it.
type Job struct {
	Hint     Hint
	Receives int
	Last     bool      // this is the last delivery before the dead-letter queue
	Sent     time.Time // when the hint was queued; zero if unknown
	// Owned reports whether this process still owns the delivery. A worker that lost its message may complete the
	// image, but must not record a failure, because another worker may be about to succeed.
	Owned func() bool
	// Admit blocks until memory for a photo of that cost is reserved, and returns the function that releases it.
	// After ErrDeferred the image stays unchanged, even at its last delivery, because nothing was attempted.
	Admit func(ctx context.Context, c Cost) (release func(), err error)
}

// ErrDeferred is returned by Job.Admit when the photo must wait because other photos go first.
var ErrDeferred = errors.New("other photos go first")

// JobResult describes one job, for its log line and the metrics. After equals Before when the state did not change.
type JobResult struct {
	Outcome       Outcome
	Image         Image // as last read or written
	Before, After State
	Cause         error // why the photo failed
}

// maxRaw limits the bytes of an original that a worker reads. Uploads are limited to 20 MiB, but photos of the original
// application may be larger.
const maxRaw = 64 << 20

// Process processes the image of a hint if it is Uploaded. On an error the caller must not delete the message, so that
// it is delivered again. If it was the last delivery and the hint refers to the current upload, Process also moves the
// image to Failed, and the message becomes a dead letter. A *BadPhoto is the outcome PermanentFailure, not an error.
func (s *Service) Process(ctx context.Context, j Job) (JobResult, error) {
	img, err := s.Get(ctx, j.Hint.ImageID)
	if err == nil && img.Unlisted { // so that it is not lost with this message
		if adopted, err := s.adopt(ctx, img); err == nil {
			img = adopted
		}
	}
	if err != nil {
		r := JobResult{Image: Image{ID: j.Hint.ImageID}}
		if errors.Is(err, ErrNotFound) {
			r.Outcome, err = NoWork, nil
		}
		return r, err
	}
	r := JobResult{Image: img, Before: img.State, After: img.State}
	switch img.State {
	case Created:
		r.Outcome = NoWork
		return r, nil
	case Processed, Failed:
		r.Outcome = AlreadyDone
		return r, nil
	}
	err = s.work(ctx, j, &r)
	if bad := (*BadPhoto)(nil); errors.As(err, &bad) {
		err = s.fail(ctx, j, &r, bad, bad.Reason)
	} else if err != nil && j.Last && !errors.Is(err, ErrDeferred) && j.Hint.refersTo(img, j.Sent) {
		err = s.failLastAttempt(ctx, j, &r, err)
	}
	return r, err
}

// failLastAttempt moves the image to Failed after its last delivery failed with err. It returns err, so that the
// message becomes a dead letter, or nil if another process has moved the image to a final state meanwhile.
func (s *Service) failLastAttempt(ctx context.Context, j Job, r *JobResult, err error) error {
	// The job's context may have ended, but the user must see the failure.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), detachedTimeout)
	defer cancel()
	reason := fmt.Sprintf("It could not be processed in %d attempts: %s.", j.Receives, userCause(err))
	if failErr := s.fail(ctx, j, r, err, reason); failErr != nil {
		return errors.Join(err, failErr)
	}
	if r.Outcome == PermanentFailure {
		r.Outcome = "" // the message must not be deleted
		return err
	}
	return nil
}

// work processes the original of an Uploaded image and moves the image to Processed.
func (s *Service) work(ctx context.Context, j Job, r *JobResult) error {
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
		return fmt.Errorf("reserve %d bytes of memory: %w", cost.Memory, err)
	}
	defer release()
	s.Hit(MidFilter, img.ID)
	result, err := s.Filter.Apply(ctx, raw)
	if err != nil {
		return err
	}
	hash := sha256.Sum256(raw) // not from the key, which has another form if the original application chose it
	key := ProcessedKey(img.ID, hex.EncodeToString(hash[:]), result.Ext)
	if err := s.Blobs.Put(ctx, key, result.ContentType, result.Body, result.Body.Size()); err != nil {
		return fmt.Errorf("store %s: %w", key, err)
	}
	s.Hit(AfterResult, img.ID)
	return s.finalize(ctx, r, Processed, Event{Receives: j.Receives}, func(to *Image) {
		to.ProcessedKey, to.Warning = key, result.Warning
	})
}

// errOriginal marks an original that is missing or not readable. It is transient, because a wrong IAM policy must not
// fail good photos.
var errOriginal = errors.New("original missing or not readable")

// originalError classifies a failed read of an original.
func (s *Service) originalError(img Image, err error) error {
	if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrDenied) {
		return fmt.Errorf("read %s: %w", img.RawKey, err)
	}
	transient := fmt.Errorf("read %s: %w: %w", img.RawKey, errOriginal, err)
	if !img.hasOwnKey() { // the lifecycle rule of another application is not known
		return transient
	}
	if s.Now().Sub(img.Updated) > s.UploadLife {
		const reason = "It could not be processed: the original has expired, upload it again."
		return &BadPhoto{Kind: Unreadable, Reason: reason, Err: err}
	}
	return transient
}

// userCause returns the reason for a failure in words for the user, without details that belong in the log.
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

// fail moves the image to Failed, with the reason for the user. It returns an error if this process no longer owns the
// message.
func (s *Service) fail(ctx context.Context, j Job, r *JobResult, cause error, reason string) error {
	r.Cause = cause
	if !j.Owned() {
		return fmt.Errorf("image %s: the message was lost to another worker, no failure recorded: %w",
			r.Image.ID, cause)
	}
	e := Event{Receives: j.Receives, Cause: cause.Error()}
	return s.finalize(ctx, r, Failed, e, func(to *Image) { to.Error = reason })
}

// finalize moves the image of r to a final state, retrying after lost races. If the image got other bytes meanwhile, or
// another process moved it to a final state, the outcome is AlreadyDone.
func (s *Service) finalize(ctx context.Context, r *JobResult, final State, e Event, set func(*Image)) error {
	var outcome Outcome
	img, err := s.change(ctx, r.Image, func(current Image) (Image, error) {
		// A result is always valid for these bytes, a failure only for the attempt in which it happened.
		newer := current.RawKey != r.Image.RawKey || final == Failed && current.Version != r.Image.Version
		if newer || !CanMove(current.State, final) {
			outcome = AlreadyDone
			return current, nil
		}
		to := current.move(final, s.Now(), s.sign(e))
		set(&to)
		outcome = Done
		if final == Failed {
			outcome = PermanentFailure
		}
		return to, nil
	})
	if errors.Is(err, ErrNotFound) {
		r.Outcome = NoWork
		return nil
	}
	if err != nil {
		return err
	}
	r.Outcome, r.Image, r.After = outcome, img, img.State
	return nil
}
