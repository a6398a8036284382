package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"sync/atomic"
	"time"

	"imagery/app/imagery"
)

const aboutRedrive = `Send dead letters back to work, once their cause is fixed

A failed image is moved to uploaded with the same original, then its hint is sent, and only then is the dead letter
deleted: it may be killed at any moment and run again. The hint of an unfinished image is sent again. Dead letters of
images that are processed or gone, or have another upload by now, are only deleted. Malformed messages stay, since
sending them again would not help.`

// redriven is the outcome for one dead letter.
type redriven struct {
	DeadLetter
	Action Action `json:"action"`
	Done   bool   `json:"done"` // false in a dry run, and after an error
	Error  string `json:"error,omitempty"`
}

// redriveRun is one run of dlq redrive.
type redriveRun struct {
	Deployment
	filter        deadLetterFilter
	limiter       rateLimiter
	dropMalformed bool
	dryRun        bool
	results       []redriven
	count         atomic.Int64
}

// redriveCmd is the command dlq redrive.
func redriveCmd(fs *flag.FlagSet) func(context.Context, Invocation) error {
	r := redriveRun{results: []redriven{}}
	r.filter.flags(fs)
	r.limiter.flags(fs)
	fs.BoolVar(&r.dropMalformed, "drop-malformed", false,
		"also delete messages that are not hints; --json prints them in full")
	fs.BoolVar(&r.dryRun, "dry-run", false, "print what would be done, and change nothing")
	asJSON := jsonFlag(fs)
	return func(ctx context.Context, inv Invocation) (err error) {
		if err := r.limiter.validate(); err != nil {
			return err
		}
		if r.Deployment, err = inv.open(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.Close()) }()
		limits, err := r.Service.DeadLetters.Limits(ctx)
		if err != nil {
			return fmt.Errorf("open the dead-letter queue: %w", err)
		}
		done := inv.progress(func() string { return fmt.Sprintf("%d dead letters read", r.count.Load()) })
		err = r.eachDeadLetter(ctx, r.batch(limits.Visibility), func(l DeadLetter) (bool, error) { return r.redrive(ctx, l) })
		done()
		return errors.Join(r.print(inv, *asJSON), err, r.failure(err))
	}
}

// batch returns how many dead letters are received together: as many as take half of the visibility timeout at the
// given rate, so that no other consumer receives the last of them meanwhile.
func (r *redriveRun) batch(visibility time.Duration) int {
	return int(min(max(r.limiter.rate*visibility.Seconds()/2, 1), receiveBatch))
}

// redrive does what the dead letter needs, if the flags select it, and records the outcome.
func (r *redriveRun) redrive(ctx context.Context, l DeadLetter) (deleted bool, err error) {
	r.count.Add(1)
	if !r.filter.match(l) {
		return false, nil
	}
	result := redriven{DeadLetter: l, Action: l.Redrive}
	if l.State == malformed && r.dropMalformed {
		result.Action = Drop
	}
	if !r.dryRun && result.Action != Keep {
		if !r.limiter.wait(ctx) {
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
func (r *redriveRun) apply(ctx context.Context, l DeadLetter, a Action) error {
	if a == Requeue || a == Resend {
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

func (r *redriveRun) print(inv Invocation, asJSON bool) error {
	if asJSON {
		return inv.printJSON(struct {
			DryRun  bool       `json:"dryRun"`
			Letters []redriven `json:"letters"`
		}{r.dryRun, r.results})
	}
	if len(r.results) == 0 {
		fmt.Fprintln(inv.Out, "no dead letter matches")
		return nil
	}
	rows := [][]string{{"MESSAGE", "IMAGE", "ACTION", "DETAIL"}}
	for _, d := range r.results {
		rows = append(rows, []string{d.ID, d.ImageID, string(d.Action), notDone(d.Error, d.Reason)})
	}
	err := inv.table(rows)
	if r.dryRun {
		fmt.Fprintln(inv.Out, dryRunNote)
	}
	return err
}

// failure returns the error of a run that did not do everything. A dead letter that --id names must exist.
func (r *redriveRun) failure(err error) error {
	failed := 0
	for _, d := range r.results {
		if d.Error != "" {
			failed++
		}
	}
	switch {
	case failed > 0:
		return fmt.Errorf("%d of %s stay: see above", failed, plural(len(r.results), "dead letter"))
	case err == nil && len(r.results) == 0 && r.filter.id != "":
		return fmt.Errorf("no dead letter matches the id %s: imagery dlq ls lists them", r.filter.id)
	}
	return nil
}
