package imagery

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// shards are the partitions of the pending index, see Image.PendingShard.
const shards = "0123456789abcdef"

// Bounds of one reconciler pass. What is left over waits for the next pass, a minute later.
const (
	pendingPage   = 100 // candidates read per shard and call
	maxDeadLetter = 500 // dead letters looked at in a pass
)

// resendCap bounds the doubling interval between two hints of one image.
const resendCap = 6 * time.Hour

// Repairs is what one reconciler pass found and did.
type Repairs struct {
	Unfinished int           // candidates seen in the pending index
	OldestAge  time.Duration // age of the oldest unfinished upload; 0 when there is none
	Resent     int           // hints sent again
	Explained  int           // images failed because their hint is a dead letter
	Dead       int           // dead letters seen
}

// Reconcile is one pass of the repair that makes the queue a mere hint: it turns dead letters into explained
// failures, and sends the hints of overdue images again. It may run in many processes at once, at any time,
// with clocks that differ: that only costs calls. Errors of single images are joined; the pass goes on.
func (s *Service) Reconcile(ctx context.Context, attempts int) (Repairs, error) {
	var r Repairs
	return r, errors.Join(s.explainDeadLetters(ctx, attempts, &r), s.resendOverdue(ctx, &r))
}

// explainDeadLetters fails the images whose present upload became a dead letter without anybody saying why:
// its workers died. It deletes nothing; an alarm, and a person, follow the letters.
func (s *Service) explainDeadLetters(ctx context.Context, attempts int, r *Repairs) error {
	var held []Message
	defer func() {
		if len(held) > 0 {
			// Given back at the end, for a letter given back at once would be received again in this pass.
			give, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
			defer cancel()
			_, _ = s.DeadLetters.Extend(give, 0, held...) // else they come back when their visibility ends
		}
	}()
	var errs []error
	for len(held) < maxDeadLetter {
		ms, err := s.DeadLetters.Receive(ctx, 10, 0)
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("read dead letters: %w", err))...)
		}
		if len(ms) == 0 {
			break
		}
		held = append(held, ms...)
		for _, m := range ms {
			if err := s.explain(ctx, m, attempts, r); err != nil {
				errs = append(errs, err)
			}
		}
	}
	r.Dead = len(held)
	return errors.Join(errs...)
}

// explain fails the image of one dead letter if it is still Uploaded with the letter's bytes.
func (s *Service) explain(ctx context.Context, m Message, attempts int, r *Repairs) error {
	h, err := ParseHint(m.Body)
	if err != nil {
		return nil // not about an image; the alarm on the dead letters speaks of it
	}
	img, err := s.Get(ctx, h.ImageID)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if img.State != Uploaded || !h.speaksOf(img, m.Sent) {
		return nil
	}
	reason := fmt.Sprintf("It could not be processed: no worker lived through %d attempts.", attempts)
	rep := Report{Image: img}
	e := Event{Receives: attempts, Cause: "dead letter " + m.ID}
	if err := s.settle(ctx, &rep, Failed, e, func(to *Image) { to.Error = reason }); err != nil {
		return err
	}
	if rep.Outcome == GivenUp {
		r.Explained++
	}
	return nil
}

// resendOverdue sends the hint of every overdue image again, oldest first in each shard.
func (s *Service) resendOverdue(ctx context.Context, r *Repairs) error {
	var errs []error
	now := s.Now()
	for _, shard := range shards {
		for after := ""; ; {
			list, next, err := s.Catalog.Pending(ctx, string(shard), now, after, pendingPage)
			if err != nil {
				errs = append(errs, fmt.Errorf("list pending images of shard %c: %w", shard, err))
				break
			}
			for _, p := range list {
				if err := s.resend(ctx, p, now, r); err != nil {
					errs = append(errs, err)
				}
			}
			if after = next; after == "" {
				break
			}
		}
	}
	return errors.Join(errs...)
}

// resend looks at one candidate: it counts what is unfinished and sends what is overdue.
func (s *Service) resend(ctx context.Context, p Pending, now time.Time, r *Repairs) error {
	img, err := s.Get(ctx, p.ID)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if img.State != Uploaded {
		return nil // the index was a little behind
	}
	r.Unfinished++
	r.OldestAge = max(r.OldestAge, now.Sub(img.Updated))
	if now.Before(s.nextHint(img)) {
		return nil
	}
	// The hint first: a crash in between sends it twice, the other order could lose it for an interval.
	if err := s.hint(ctx, img, ""); err != nil {
		return err
	}
	r.Resent++
	if err := s.Catalog.Touch(ctx, img, now); err != nil && !errors.Is(err, ErrConflict) {
		return fmt.Errorf("note the hint of image %s: %w", img.ID, err)
	}
	return nil
}

// nextHint is when the image's hint is due again: after 1, 2, 4, … times ResendAfter since the one before.
// The hints sent so far follow from the age at which the last one was sent: after n of them it is
// (2^n - 1) times ResendAfter, so the next interval is that age plus ResendAfter.
func (s *Service) nextHint(img Image) time.Time {
	sent := img.Hinted
	if sent.Before(img.Updated) {
		sent = img.Updated
	}
	return sent.Add(min(sent.Sub(img.Updated)+s.ResendAfter, resendCap))
}
