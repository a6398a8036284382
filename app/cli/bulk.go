package cli

import (
	"context"
	"flag"
	"fmt"
	"math"
	"time"
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
	removeObject action = "remove object" // that no image names
	leaveIt      action = "leave it"      // an object that an image may still name
)

// outcome is what a command did with one of many.
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
