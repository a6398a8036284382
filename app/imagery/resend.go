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

// step identifies the n-th hint of the images in one shard.
type step struct {
	shard byte
	n     int
}

// dueAge returns the age of an upload at which its n-th hint is due; hint 0 is sent with the upload.
func dueAge(n int, resendAfter time.Duration) (age time.Duration) {
	interval := resendAfter
	for range n {
		age += interval
		interval = min(2*interval, resendCap)
	}
	return age
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
	for dueAge(last+1, p.service.ResendAfter) <= age {
		last++
	}
	for n := last; n > 0 && p.budget != 0; n-- {
		if err := p.resendStep(ctx, step{shard, n}); err != nil {
			return err
		}
	}
	return nil
}

// oldest returns the upload time of the oldest unfinished image of a shard, or the zero time if there is none. It
// checks overdue rows against the catalog, because the index is eventually consistent.
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

// resendStep reads the window in which the n-th hint of a shard's images is due, and sends those hints.
func (p *pass) resendStep(ctx context.Context, at step) error {
	base := p.service.ResendAfter
	from := p.now.Add(-dueAge(at.n+1, base) + time.Millisecond)
	if c := p.covered[at]; !c.IsZero() && c.After(from) {
		from = c.Add(time.Millisecond)
	}
	to := p.now.Add(-dueAge(at.n, base))
	var errs []error
	for after := ""; !from.After(to); {
		list, next, err := p.service.Catalog.Pending(ctx, string(at.shard), from, to, after, pendingPage)
		if err != nil {
			return fmt.Errorf("list pending images of shard %c: %w", at.shard, err)
		}
		for _, candidate := range list {
			before := candidate.Updated.Add(-time.Millisecond) // the next pass starts with this image
			if err := p.resend(ctx, candidate.ID, dueAge(at.n, base)); err != nil {
				if errs = append(errs, err); len(errs) == 1 {
					p.covered[at] = before
				}
			}
			if p.budget == 0 || len(errs) == maxErrors {
				if len(errs) == 0 {
					p.covered[at] = before
				}
				return errors.Join(errs...)
			}
		}
		if after = next; after == "" {
			break
		}
	}
	if len(errs) == 0 {
		p.covered[at] = to
	}
	return errors.Join(errs...)
}

// resend sends the hint of an image unless one was sent since it became due.
func (p *pass) resend(ctx context.Context, id string, due time.Duration) error {
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
	if at := img.Updated.Add(due); img.State != Uploaded || p.now.Before(at) || !img.Hinted.Before(at) {
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
