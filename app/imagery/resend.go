package imagery

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The hint of an unfinished image is sent again when the upload is 1, 3, 7, … times ResendAfter old: the interval
// doubles, up to resendCap. The pending index is sorted by upload time, so at any moment the images whose n-th hint
// is due lie in one window of it. A pass reads only the part of each window that is new since the last pass.
// Therefore an image is read once per hint, regardless of the size of the backlog.

const (
	// Shards lists the partitions of the pending index, one character each; see Image.PendingShard.
	Shards = "0123456789abcdef"
	// pendingPage is the page size of Catalog.Pending.
	pendingPage = 100
	// maxErrors stops reading a window, or dead letters, after that many errors. One image may be broken, but several
	// errors mean that the table is unavailable, and each further call would take the full time of the SDK's retries.
	maxErrors = 3
	// resendCap limits the doubling interval between two hints of one image.
	resendCap = 6 * time.Hour
)

// window identifies the images of one shard whose n-th hint is due.
type window struct {
	shard byte
	n     int
}

// dueAge returns the age of an upload at which its n-th hint is due; hint 0 is sent with the upload.
func (s *Service) dueAge(n int) (age time.Duration) {
	interval := s.ResendAfter
	for range n {
		age += interval
		interval = min(2*interval, resendCap)
	}
	return age
}

// NextHint returns the time at which the reconciler sends the hint of an unfinished image again.
func (s *Service) NextHint(img Image) time.Time {
	for n := 1; ; n++ {
		if at := img.Updated.Add(s.dueAge(n)); img.Hinted.Before(at) {
			return at
		}
	}
}

// resendOverdue sends the hints of overdue images again, oldest first, until the budget is used up. Each pass starts
// with another shard, so that a large backlog in one shard cannot starve the others.
func (p *pass) resendOverdue(ctx context.Context) error {
	var errs []error
	for i := range len(Shards) {
		if err := p.resendShard(ctx, Shards[(p.first+i)%len(Shards)]); err != nil {
			errs = append(errs, err)
		}
	}
	p.first = (p.first + 1) % len(Shards)
	return errors.Join(errs...)
}

// resendShard sends the overdue hints of one shard, window by window, oldest images first.
func (p *pass) resendShard(ctx context.Context, shard byte) error {
	oldest, err := p.oldest(ctx, shard)
	if err != nil {
		return err
	}
	age := p.now.Sub(oldest)
	if oldest.IsZero() || age < p.service.ResendAfter {
		return nil
	}
	last := 1
	for p.service.dueAge(last+1) <= age {
		last++
	}
	for n := last; n > 0 && p.budget != 0; n-- {
		if err := p.resendWindow(ctx, window{shard, n}); err != nil {
			return err
		}
	}
	return nil
}

// oldest returns the upload time of the oldest unfinished image of a shard, or the zero time if there is none. It
// checks overdue rows against their items, because the index is eventually consistent.
func (p *pass) oldest(ctx context.Context, shard byte) (time.Time, error) {
	for after := ""; ; {
		list, next, err := p.service.Catalog.Pending(ctx, string(shard), time.Time{}, p.now, after, 1)
		if err != nil {
			return time.Time{}, fmt.Errorf("list pending images of shard %c: %w", shard, err)
		}
		if len(list) == 0 {
			return time.Time{}, nil
		}
		age := p.now.Sub(list[0].Updated)
		unfinished := true
		if age >= p.service.ResendAfter {
			p.repairs.Reads++
			img, err := p.service.Get(ctx, list[0].ID)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return time.Time{}, err
			}
			unfinished = err == nil && img.State == Uploaded
		}
		if unfinished {
			p.repairs.OldestAge = max(p.repairs.OldestAge, age)
			return list[0].Updated, nil
		}
		if after = next; after == "" {
			return time.Time{}, nil
		}
	}
}

// resendWindow reads the part of a window that is new since the last pass, and sends the hints that are due in it.
func (p *pass) resendWindow(ctx context.Context, w window) error {
	age := p.service.dueAge(w.n)
	from, to := p.now.Add(-p.service.dueAge(w.n+1)+time.Millisecond), p.now.Add(-age)
	if c := p.covered[w]; c.After(from) {
		from = c.Add(time.Millisecond)
	}
	var errs []error
	for after := ""; !from.After(to); {
		list, next, err := p.service.Catalog.Pending(ctx, string(w.shard), from, to, after, pendingPage)
		if err != nil {
			return fmt.Errorf("list pending images of shard %c: %w", w.shard, err)
		}
		for _, candidate := range list {
			before := candidate.Updated.Add(-time.Millisecond) // the next pass reads this millisecond again
			if err := p.resend(ctx, candidate.ID, age); err != nil {
				if errs = append(errs, err); len(errs) == 1 {
					p.covered[w] = before
				}
			}
			if p.budget == 0 || len(errs) == maxErrors {
				if len(errs) == 0 {
					p.covered[w] = before
				}
				return errors.Join(errs...)
			}
		}
		if after = next; after == "" {
			break
		}
	}
	if len(errs) == 0 {
		p.covered[w] = to
	}
	return errors.Join(errs...)
}

// resend sends the hint that is due at the given age of the upload, unless one was sent since.
func (p *pass) resend(ctx context.Context, id string, age time.Duration) error {
	p.budget--
	p.repairs.Reads++
	img, err := p.service.Get(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	// The index may be stale, or another leader may have sent the hint.
	if due := img.Updated.Add(age); img.State != Uploaded || p.now.Before(due) || !img.Hinted.Before(due) {
		return nil
	}
	// Send before Touch: a crash in between sends the hint twice; the reverse order would delay it by an interval.
	if err := p.service.hint(ctx, img, ""); err != nil {
		return err
	}
	p.repairs.Resent++
	if err := p.service.Catalog.Touch(ctx, img, p.now); err != nil && !errors.Is(err, ErrConflict) {
		return fmt.Errorf("record the hint of image %s: %w", img.ID, err)
	}
	return nil
}
