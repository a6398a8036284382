package imagery

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// An unfinished image gets its hint again when its upload is 1, 3, 7, … times ResendAfter old: the intervals
// double, up to resendCap. So the images that are due follow from the pending index alone, which is sorted by the
// time of the upload: at each moment every n-th hint is due in one narrow window of it, and a pass reads only
// what came into a window since the last pass. An image is read as often as its hint is due, however many
// others wait.

const (
	// Shards are the partitions of the pending index, see Image.PendingShard.
	Shards = "0123456789abcdef"
	// pendingPage is how many candidates one call lists.
	pendingPage = 100
	// maxErrors ends a window, or the reading of dead letters: one image may be broken, but when a few fail in a row,
	// the table is away, and each further one would cost the full time of the SDK's retries.
	maxErrors = 3
	// resendCap bounds the doubling interval between two hints of one image.
	resendCap = 6 * time.Hour
)

// step is the n-th hint of the images of one shard.
type step struct {
	shard byte
	n     int
}

// dueAge is the age of an upload at which its n-th hint is due; the first one, with the upload, is number 0.
func dueAge(n int, resendAfter time.Duration) (age time.Duration) {
	interval := resendAfter
	for range n {
		age += interval
		interval = min(2*interval, resendCap)
	}
	return age
}

// resendOverdue sends the hint of every overdue image again, the oldest first, as far as the budget goes. Each
// pass begins with another shard, so that a long backlog keeps none waiting for ever.
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

// oldest finds when the oldest unfinished image of a shard was uploaded; the zero time if there is none. The index
// may be a little behind, so old rows are checked.
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

// resendStep looks at the window in which the n-th hint of a shard's images is due.
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
			before := candidate.Updated.Add(-time.Millisecond) // it, or its twin of the same time, is next
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

// resend sends the image's hint unless that was done since it became due.
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
	// The index may have been behind; and another leader may have been faster.
	if at := img.Updated.Add(due); img.State != Uploaded || p.now.Before(at) || !img.Hinted.Before(at) {
		return nil
	}
	// The hint first: a crash in between sends it twice, the other order could lose it for an interval.
	if err := p.service.hint(ctx, img, ""); err != nil {
		return err
	}
	p.repairs.Resent++
	if err := p.service.Catalog.Touch(ctx, img, p.now); err != nil && !errors.Is(err, ErrConflict) {
		return fmt.Errorf("note the hint of image %s: %w", img.ID, err)
	}
	return nil
}
