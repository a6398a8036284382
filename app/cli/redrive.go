package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"imagery/app/imagery"
)

// bulk holds the flags of a command that changes many images.
type bulk struct {
	rate   float64 // per second, so that the workers are not flooded
	dryRun bool
	next   time.Time
}

func (b *bulk) flags(fs *flag.FlagSet) {
	fs.Float64Var(&b.rate, "rate", 10, "at most `N` per second; 0.5 is one in two seconds")
	fs.BoolVar(&b.dryRun, "dry-run", false, "print what would be done, and change nothing")
}

func (b *bulk) validate() error {
	if !(b.rate > 0) || math.IsInf(b.rate, 0) {
		return usage("--rate %v is not above 0", b.rate)
	}
	return nil
}

// wait blocks until the next image may be changed, or ctx ends, which is an error. In a dry run it does not wait.
func (b *bulk) wait(ctx context.Context) error {
	if !b.dryRun {
		select {
		case <-ctx.Done():
		case <-time.After(time.Until(b.next)):
			b.next = time.Now().Add(time.Duration(float64(time.Second) / b.rate))
		}
	}
	return interrupted(ctx)
}

// action says what a command does with a dead letter, an image or an object.
type action string

const (
	requeue      action = "requeue"       // move the failed image to uploaded again, and send its hint
	resend       action = "resend"        // send the hint of the unfinished image
	drop         action = "drop"          // delete the dead letter: nothing is left to do
	keep         action = "keep"          // do nothing
	sendHint     action = "send hint"     // of an unfinished image
	adopt        action = "adopt"         // an unfinished image of the original application
	removeObject action = "remove object" // that no image names
	leaveIt      action = "leave it"      // an object that an image may still name
)

// outcome holds the result of a command for one of many subjects.
type outcome struct {
	Action action `json:"action"`
	Done   bool   `json:"done"` // false in a dry run, for what is kept, and after an error
	Error  string `json:"error,omitempty"`
}

func (o outcome) failed() bool { return o.Error != "" }

// detail returns the error, or else the text.
func (o outcome) detail(text string) string {
	if o.failed() {
		return "not done: " + o.Error
	}
	return text
}

// countFailed returns the number of outcomes with an error.
func countFailed[T interface{ failed() bool }](list []T) (n int) {
	for _, o := range list {
		if o.failed() {
			n++
		}
	}
	return n
}

// outcomes prints what was done: as JSON the list under its name, else the rows, or none if nothing matched.
func (b *bulk) outcomes(inv Invocation, name string, list any, rows [][]string, none string) error {
	if inv.JSON {
		return inv.printJSON(map[string]any{"dryRun": b.dryRun, name: list})
	}
	if len(rows) == 1 {
		_, err := fmt.Fprintln(inv.Out, none)
		return err
	}
	err := inv.table(rows)
	if b.dryRun {
		fmt.Fprintln(inv.Out, dryRunNote)
	}
	return err
}

// dryRunNote is printed below what a dry run would have done.
const dryRunNote = "dry run: nothing was changed"

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
