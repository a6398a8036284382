package cli

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"imagery/app/imagery"
)

const (
	aboutDLQList = `List the dead letters, oldest first

A dead letter is a message that was delivered as often as the queue allows. STATE is that of its image, or "malformed"
for a message that is not a hint, or "gone" when there is no such image. RECEIVES is the number of attempts in the
history of the image, else the count of the queue, which listing increases. Dead letters are received and released:
for a moment no other consumer sees them.`
	aboutDLQShow = `Show one dead letter in full

ID is that of the message or of its image. All dead letters of the image are shown.`
)

// deadLetterFilter selects dead letters by the flags --reason and --id.
type deadLetterFilter struct{ reason, id string }

func (f *deadLetterFilter) flags(fs *flag.FlagSet) {
	fs.StringVar(&f.reason, "reason", "", "only dead letters with these `words` in their reason or cause, in any case")
	fs.StringVar(&f.id, "id", "", "only dead letters with this `ID`, their own or that of their image")
}

func (f deadLetterFilter) match(l deadLetter) bool {
	return (f.id == "" || f.id == l.ID || strings.EqualFold(f.id, l.ImageID)) && contains(f.reason, l.Reason, l.Cause)
}

// contains reports whether one of the texts contains words, in any case.
func contains(words string, texts ...string) bool {
	return slices.ContainsFunc(texts, func(text string) bool {
		return strings.Contains(strings.ToLower(text), strings.ToLower(words))
	})
}

func dlqListCmd(fs *flag.FlagSet) func(context.Context, Invocation) error {
	var filter deadLetterFilter
	filter.flags(fs)
	return func(ctx context.Context, inv Invocation) error {
		deadLetters, now, err := inv.findDeadLetters(ctx, filter)
		if err != nil {
			return err
		}
		if inv.JSON {
			return inv.printJSON(deadLetters)
		}
		if len(deadLetters) == 0 {
			fmt.Fprintln(inv.Out, "no dead letters")
			return nil
		}
		rows := [][]string{{"MESSAGE", "IMAGE", "STATE", "AGE", "RECEIVES", "REASON"}}
		for _, l := range deadLetters {
			rows = append(rows, []string{l.ID, l.ImageID, l.State, age(now.Sub(l.Sent)), strconv.Itoa(l.Receives), l.Reason})
		}
		return inv.table(rows)
	}
}

// redriveHelp explains what a redrive does.
var redriveHelp = map[action]string{
	requeue: "moves the image to uploaded, sends its hint, deletes the dead letter",
	resend:  "sends the hint of the image, deletes the dead letter",
	drop:    "deletes the dead letter: nothing is left to do",
	keep:    "leaves it: no retry makes it a hint; --drop-malformed deletes it",
}

func dlqShow(ctx context.Context, inv Invocation) error {
	id := inv.Args[0]
	deadLetters, now, err := inv.findDeadLetters(ctx, deadLetterFilter{id: id})
	if err != nil {
		return err
	}
	if len(deadLetters) == 0 {
		return fmt.Errorf("no dead letter has the id %s, nor does its image: imagery dlq ls lists them", id)
	}
	if inv.JSON {
		return inv.printJSON(deadLetters)
	}
	for i, l := range deadLetters {
		if i > 0 {
			fmt.Fprintln(inv.Out)
		}
		if err := inv.table([][]string{
			{"message", l.ID}, {"sent", formatTime(l.Sent) + ", " + age(now.Sub(l.Sent)) + " ago"},
			{"receives", strconv.Itoa(l.Receives)}, {"body", l.Body}, {"trace", l.Trace}, {"image", l.ImageID},
			{"state", l.State}, {"reason", l.Reason}, {"cause", l.Cause}, {"release", l.Release},
			{"instance", l.Instance}, {"redrive", redriveHelp[l.Redrive]}}); err != nil {
			return err
		}
	}
	return nil
}

// findDeadLetters returns the dead letters that match, oldest first, and the time to which their ages refer.
func (inv Invocation) findDeadLetters(ctx context.Context, filter deadLetterFilter) (
	list []deadLetter, now time.Time, err error) {
	list = []deadLetter{}
	err = inv.use(ctx, func(d Deployment) error {
		now = d.Service.Now()
		if _, err := d.Service.DeadLetters.Limits(ctx); err != nil {
			return fmt.Errorf("open the dead-letter queue: %w", err)
		}
		var count atomic.Int64
		defer inv.progress(func() string { return fmt.Sprintf("%d dead letters read", count.Load()) })()
		return d.eachDeadLetter(ctx, receiveBatch, func(l deadLetter) (bool, error) {
			if count.Add(1); filter.match(l) {
				list = append(list, l)
			}
			return false, nil
		})
	})
	slices.SortStableFunc(list, func(a, b deadLetter) int {
		return cmp.Or(a.Sent.Compare(b.Sent), cmp.Compare(a.ID, b.ID))
	})
	return list, now, err
}

// States of a dead letter whose message does not lead to an image.
const (
	malformed = "malformed" // the message is not a hint
	gone      = "gone"      // the image does not exist, or no longer
)

// deadLetter is a dead letter with the present state of its image.
type deadLetter struct {
	ID       string    `json:"id"`
	ImageID  string    `json:"imageId,omitempty"`
	State    string    `json:"state"` // of the image, or malformed, or gone
	Reason   string    `json:"reason"`
	Sent     time.Time `json:"sent"`
	Receives int       `json:"receives"` // from the history of the image, else the count of the queue
	Cause    string    `json:"cause,omitempty"`
	Release  string    `json:"release,omitempty"`  // that failed the image
	Instance string    `json:"instance,omitempty"` // that failed the image
	Trace    string    `json:"trace,omitempty"`
	Body     string    `json:"body"`
	Redrive  action    `json:"redrive"` // what redrive does with it

	message imagery.Message
	rawKey  string // of the image
}

// deadLetter describes a message from a fresh read of its image.
func (d Deployment) deadLetter(ctx context.Context, m imagery.Message) (deadLetter, error) {
	l := deadLetter{ID: m.ID, Sent: m.Sent.UTC(), Receives: m.Receives, Trace: m.Trace, Body: string(m.Body),
		Redrive: drop, message: m}
	hint, err := imagery.ParseHint(m.Body)
	if err != nil {
		l.State, l.Reason, l.Redrive = malformed, err.Error(), keep
		return l, nil
	}
	l.ImageID = hint.ImageID
	img, err := d.Service.Get(ctx, hint.ImageID)
	if errors.Is(err, imagery.ErrNotFound) {
		l.State, l.Reason = gone, "there is no such image"
		return l, nil
	}
	if err != nil {
		return l, err
	}
	l.State, l.rawKey = string(img.State), img.RawKey
	switch {
	case img.State == imagery.Created:
		l.Reason = "the image has no upload"
	case hint.RawKey != "" && hint.RawKey != img.RawKey:
		l.Reason = "the image has another upload by now"
	case img.State == imagery.Processed:
		l.Reason = "a later attempt succeeded"
	case img.State == imagery.Uploaded && m.Sent.Before(img.Updated):
		l.Redrive, l.Reason = resend, "the image was requeued"
	case img.State == imagery.Uploaded:
		l.Redrive, l.Reason = resend, "no failure is recorded yet"
	default:
		l.Redrive, l.Reason = requeue, img.Error
		if e := lastEvent(img); e.State == imagery.Failed {
			l.Cause, l.Release, l.Instance = e.Cause, e.Release, e.Instance
			if e.Receives > 0 {
				l.Receives = e.Receives
			}
		}
	}
	return l, nil
}

// lastEvent returns the newest event of the history of an image, or the zero Event.
func lastEvent(img imagery.Image) imagery.Event {
	if len(img.History) == 0 {
		return imagery.Event{}
	}
	return img.History[len(img.History)-1]
}

const (
	// emptyWait sets how long an empty queue is polled before it counts as empty. A worker that reads the dead letters
	// at the same time hides them for a moment, and operators act on "no dead letters".
	emptyWait = time.Second
	// heldWait sets how long dead letters that are counted but cannot be received are polled: a pass of the reconciler
	// hides them for a few seconds. It is not longer because the counts of SQS are about a minute old.
	heldWait = 10 * time.Second
	// receiveBatch is the largest number of messages that one receive returns.
	receiveBatch = 10
	// releaseTimeout bounds making the dead letters visible again. The others become visible when their visibility
	// timeout ends.
	releaseTimeout = 10 * time.Second
)

// eachDeadLetter calls do once for every dead letter, of which up to batch are received together. They stay invisible
// to other consumers until all are seen; then those that do has not deleted are made visible again. It ends when the
// queue is empty, or, if the visibility timeout is too short for that, after as many known messages in a row as there
// are messages.
func (d Deployment) eachDeadLetter(ctx context.Context, batch int,
	do func(deadLetter) (deleted bool, err error)) error {
	received := map[string]imagery.Message{}
	defer func() {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
		defer cancel()
		_, _ = d.Service.DeadLetters.Extend(within, 0, slices.Collect(maps.Values(received))...)
	}()
	seen, known := map[string]bool{}, 0
	for wait, begun := emptyWait, time.Now(); known <= len(seen); {
		ms, err := d.Service.DeadLetters.Receive(ctx, batch, wait)
		if err != nil {
			return fmt.Errorf("receive dead letters: %w", err)
		}
		if len(ms) == 0 {
			if len(seen) == 0 && time.Since(begun) < heldWait && d.deadLettersCounted(ctx) {
				continue
			}
			break
		}
		wait = 0
		var fresh []imagery.Message
		for _, m := range ms {
			received[m.ID] = m // a known one has a new receipt
			if known++; !seen[m.ID] {
				seen[m.ID], known = true, 0
				fresh = append(fresh, m)
			}
		}
		letters, err := d.deadLetters(ctx, fresh)
		for i := 0; err == nil && i < len(letters); i++ {
			var deleted bool
			if deleted, err = do(letters[i]); deleted {
				delete(received, letters[i].ID)
			}
		}
		if err = cmp.Or(interrupted(ctx), err); err != nil {
			return err
		}
	}
	return interrupted(ctx)
}

// deadLettersCounted reports whether the queue counts dead letters, visible or not.
func (d Deployment) deadLettersCounted(ctx context.Context) bool {
	depth, err := d.QueueDepth(ctx)
	return err == nil && depth.DeadLetters > 0
}

// deadLetters describes a batch of messages, whose images it reads at the same time. It returns the first error only,
// since the others are the same.
func (d Deployment) deadLetters(ctx context.Context, ms []imagery.Message) ([]deadLetter, error) {
	letters, errs := make([]deadLetter, len(ms)), make([]error, len(ms))
	var all sync.WaitGroup
	for i, m := range ms {
		all.Go(func() { letters[i], errs[i] = d.deadLetter(ctx, m) })
	}
	all.Wait()
	return letters, cmp.Or(errs...)
}
