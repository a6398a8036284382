package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"sync/atomic"

	"imagery/app/imagery"
)

const aboutRedrive = `Send dead letters back to work, once their cause is fixed

A failed image is moved to uploaded with the same original, then its hint is sent, and only then is the dead letter
deleted: it may be killed at any moment and run again. The hint of an unfinished image is sent again. Dead letters of
images that are processed or gone, or have another upload by now, are only deleted. Malformed messages stay, since
sending them again would not help.`

// redriven is the outcome for one dead letter.
type redriven struct {
	deadLetter
	outcome
}

// redriveRun is one run of dlq redrive.
type redriveRun struct {
	Deployment
	bulk
	filter        deadLetterFilter
	dropMalformed bool
	results       []redriven
}

func redriveCmd(fs *flag.FlagSet) func(context.Context, Invocation) error {
	r := redriveRun{results: []redriven{}}
	r.filter.flags(fs)
	r.bulk.flags(fs)
	fs.BoolVar(&r.dropMalformed, "drop-malformed", false,
		"also delete messages that are not hints; --json prints them in full")
	return func(ctx context.Context, inv Invocation) error {
		if err := r.validate(); err != nil {
			return err
		}
		return inv.use(ctx, func(d Deployment) error {
			r.Deployment = d
			limits, err := d.Service.DeadLetters.Limits(ctx)
			if err != nil {
				return fmt.Errorf("open the dead-letter queue: %w", err)
			}
			// As many are received together as take half of the visibility timeout, so that no other consumer receives the
			// last of them meanwhile.
			batch := int(min(max(r.rate*limits.Visibility.Seconds()/2, 1), receiveBatch))
			var count atomic.Int64
			done := inv.progress(func() string { return fmt.Sprintf("%d dead letters read", count.Load()) })
			err = d.eachDeadLetter(ctx, batch, func(l deadLetter) (deleted bool, err error) {
				if count.Add(1); !r.filter.match(l) {
					return false, nil
				}
				return r.redrive(ctx, l)
			})
			done()
			return errors.Join(r.print(inv), err, r.failure(err))
		})
	}
}

// redrive does what the dead letter needs, and records the outcome.
func (r *redriveRun) redrive(ctx context.Context, l deadLetter) (deleted bool, err error) {
	result := redriven{l, outcome{Action: l.Redrive}}
	if l.State == malformed && r.dropMalformed {
		result.Action = drop
	}
	if !r.dryRun && result.Action != keep {
		if r.wait(ctx) != nil {
			return false, nil
		}
		// Ctrl-C does not cut it: each call is bounded, and what is half done would only be done again.
		err = r.apply(context.WithoutCancel(ctx), l, result.Action)
		if result.Done = err == nil; err != nil {
			result.Error = errorText(err)
		}
	}
	r.results = append(r.results, result)
	return result.Done, nil
}

// apply moves the image, sends the hint and deletes the dead letter, in this order.
func (r *redriveRun) apply(ctx context.Context, l deadLetter, a action) error {
	if a == requeue || a == resend {
		same := func(now imagery.Image) bool {
			return now.RawKey == l.rawKey && (now.State == imagery.Failed || now.State == imagery.Uploaded)
		}
		if _, _, err := r.Service.Requeue(ctx, l.ImageID, r.Store, same); err != nil {
			return err
		}
		r.Service.Hit(imagery.BeforeAck, l.ImageID)
	}
	if err := r.Service.DeadLetters.Delete(ctx, l.message); err != nil {
		return fmt.Errorf("delete dead letter %s: %w", l.ID, err)
	}
	return nil
}

func (r *redriveRun) print(inv Invocation) error {
	rows := [][]string{{"MESSAGE", "IMAGE", "ACTION", "DETAIL"}}
	for _, d := range r.results {
		rows = append(rows, []string{d.ID, d.ImageID, string(d.Action), d.detail(d.Reason)})
	}
	return r.outcomes(inv, "letters", r.results, rows, "no dead letter matches")
}

// failure returns the error of a run that did not do everything. A dead letter that --id names must exist.
func (r *redriveRun) failure(err error) error {
	failed := countFailed(r.results)
	switch {
	case failed > 0:
		return fmt.Errorf("%d of %s stay: see above", failed, plural(len(r.results), "dead letter"))
	case err == nil && len(r.results) == 0 && r.filter.id != "":
		return fmt.Errorf("no dead letter matches the id %s: imagery dlq ls lists them", r.filter.id)
	}
	return nil
}
