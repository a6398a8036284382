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

const aboutRedrive = `Sends dead letters back to work, for when their cause is mended.

A failed image becomes uploaded again with the same original, then its hint is sent, and only then is the letter
deleted: whenever this is killed, nothing is lost, and running it again goes on. The hint of an unfinished image is
sent again. Letters about images that are processed or gone, or have another upload by now, are just deleted.
Malformed messages stay: sent again they would only come back.`

// redriven is what became of one letter.
type redriven struct {
	Letter
	Action Action `json:"action"`
	Done   bool   `json:"done"` // false in a dry run, and after an error
	Error  string `json:"error,omitempty"`
}

// redriver is one run of dlq redrive.
type redriver struct {
	Backend
	filter  letterFilter
	pace    pace
	drop    bool // malformed ones, too
	dry     bool
	results []redriven
	count   atomic.Int64
}

// redrive is dlq redrive.
func redrive(fs *flag.FlagSet) func(context.Context, Call) error {
	r := redriver{results: []redriven{}}
	r.filter.flags(fs)
	r.pace.flags(fs)
	fs.BoolVar(&r.drop, "drop-malformed", false, "delete messages that are no hints, too; they are printed in full with --json")
	fs.BoolVar(&r.dry, "dry-run", false, "say what would be done, and do nothing")
	asJSON := jsonFlag(fs)
	return func(ctx context.Context, c Call) (err error) {
		if err := errors.Join(c.noArgs(), r.pace.check()); err != nil {
			return err
		}
		if r.Backend, err = c.open(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.Close()) }()
		limits, err := r.Service.DeadLetters.Limits(ctx)
		if err != nil {
			return fmt.Errorf("open the dead letters: %w", err)
		}
		done := c.watch(func() string { return fmt.Sprintf("%d dead letters looked at", r.count.Load()) })
		err = r.eachLetter(ctx, r.batch(limits.Visibility), func(l Letter) (bool, error) { return r.one(ctx, l) })
		done()
		return errors.Join(r.print(c, *asJSON), err, r.verdict(err))
	}
}

// batch is how many letters are received together: no more than are done in half the time for which they stay
// hidden, or somebody else may receive the last of them meanwhile.
func (r *redriver) batch(visibility time.Duration) int {
	return int(min(max(r.pace.rate*visibility.Seconds()/2, 1), receiveBatch))
}

// one does with a letter what it is for, if it is one of those that were asked for.
func (r *redriver) one(ctx context.Context, l Letter) (deleted bool, err error) {
	r.count.Add(1)
	if !r.filter.match(l) {
		return false, nil
	}
	did := redriven{Letter: l, Action: l.Redrive}
	if l.State == malformed && r.drop {
		did.Action = Drop
	}
	if !r.dry && did.Action != Keep {
		if !r.pace.wait(ctx) {
			return false, nil
		}
		// Not cut by Ctrl-C: each call is bounded, and a letter that is half done would only be done again.
		err = r.act(context.WithoutCancel(ctx), l, did.Action)
		if did.Done = err == nil; err != nil {
			did.Error = say(err)
		}
	}
	r.results = append(r.results, did)
	return did.Done, nil
}

// act moves the image, sends the hint, deletes the letter, in this order.
func (r *redriver) act(ctx context.Context, l Letter, a Action) error {
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

func (r *redriver) print(c Call, asJSON bool) error {
	if asJSON {
		return c.document(struct {
			DryRun  bool       `json:"dryRun"`
			Letters []redriven `json:"letters"`
		}{r.dry, r.results})
	}
	if len(r.results) == 0 {
		fmt.Fprintln(c.Out, "no dead letter matches")
		return nil
	}
	rows := [][]string{{"LETTER", "IMAGE", "ACTION", "DETAIL"}}
	for _, d := range r.results {
		detail := d.Reason
		if d.Error != "" {
			detail = "not done: " + d.Error
		}
		rows = append(rows, []string{d.ID, d.ImageID, string(d.Action), detail})
	}
	err := c.columns(rows)
	if r.dry {
		fmt.Fprintln(c.Out, nothingChanged)
	}
	return err
}

const nothingChanged = "dry run: nothing was changed"

// verdict is the error of a run of which something was not done. A letter that was named must be there.
func (r *redriver) verdict(err error) error {
	failed := 0
	for _, d := range r.results {
		if d.Error != "" {
			failed++
		}
	}
	switch {
	case failed > 0:
		return fmt.Errorf("%d of %s stay: see above", failed, plural(len(r.results), "letter"))
	case err == nil && len(r.results) == 0 && r.filter.id != "":
		return fmt.Errorf("no dead letter matches the id %s", r.filter.id)
	}
	return nil
}

// pace spreads work over time, for the sake of the workers who get it.
type pace struct {
	rate float64 // per second
	next time.Time
}

func (p *pace) flags(fs *flag.FlagSet) {
	fs.Float64Var(&p.rate, "rate", 10, "at most `N` a second; 0.5 is one in two seconds")
}

func (p *pace) check() error {
	if !(p.rate > 0) || math.IsInf(p.rate, 0) {
		return usage("--rate %v is not above 0", p.rate)
	}
	return nil
}

// wait returns when the next one may be done, false if ctx ended before.
func (p *pace) wait(ctx context.Context) bool {
	t := time.NewTimer(time.Until(p.next))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
	}
	p.next = time.Now().Add(time.Duration(float64(time.Second) / p.rate))
	return ctx.Err() == nil
}

// plural writes "1 image", "2 images".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
