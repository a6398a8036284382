package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"sync"
	"time"

	"imagery/app/imagery"
)

// Action says what a redrive or requeue does with a dead letter or an image.
type Action string

// The actions.
const (
	Requeue Action = "requeue" // move the failed image to uploaded again, and send its hint
	Resend  Action = "resend"  // send the hint of the unfinished image
	Drop    Action = "drop"    // delete the dead letter: nothing is left to do
	Keep    Action = "keep"    // do nothing
)

// States of a dead letter whose message does not lead to an image.
const (
	malformed = "malformed" // the message is not a hint
	gone      = "gone"      // the image does not exist, or no longer
)

// DeadLetter is a dead letter with the present state of its image.
type DeadLetter struct {
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
	Redrive  Action    `json:"redrive"` // what redrive does with it

	message imagery.Message
	rawKey  string // of the image
}

// deadLetter describes a message from a fresh read of its image.
func (d Deployment) deadLetter(ctx context.Context, m imagery.Message) (DeadLetter, error) {
	l := DeadLetter{ID: m.ID, Sent: m.Sent.UTC(), Receives: m.Receives, Trace: m.Trace, Body: string(m.Body),
		Redrive: Drop, message: m}
	hint, err := imagery.ParseHint(m.Body)
	if err != nil {
		l.State, l.Reason, l.Redrive = malformed, err.Error(), Keep
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
		l.Redrive, l.Reason = Resend, "the image was requeued"
	case img.State == imagery.Uploaded:
		l.Redrive, l.Reason = Resend, "no failure is recorded yet"
	default:
		l.Redrive, l.Reason = Requeue, img.Error
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
	do func(DeadLetter) (deleted bool, err error)) (err error) {
	received := map[string]imagery.Message{}
	defer func() {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
		defer cancel()
		list := make([]imagery.Message, 0, len(received))
		for _, m := range received {
			list = append(list, m)
		}
		_, _ = d.Service.DeadLetters.Extend(within, 0, list...)
	}()
	seen, known := map[string]bool{}, 0
	for wait := emptyWait; known <= len(seen); wait = 0 {
		ms, err := d.Service.DeadLetters.Receive(ctx, batch, wait)
		if err != nil {
			return fmt.Errorf("receive dead letters: %w", err)
		}
		if len(ms) == 0 {
			break
		}
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
		if stopped := interrupted(ctx); stopped != nil {
			return stopped
		}
		if err != nil {
			return err
		}
	}
	return interrupted(ctx)
}

// deadLetters describes a batch of messages, whose images it reads at the same time. It returns the first error only,
// since the others are the same.
func (d Deployment) deadLetters(ctx context.Context, ms []imagery.Message) ([]DeadLetter, error) {
	letters, errs := make([]DeadLetter, len(ms)), make([]error, len(ms))
	var all sync.WaitGroup
	for i, m := range ms {
		all.Go(func() { letters[i], errs[i] = d.deadLetter(ctx, m) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return letters, nil
}

// deadLetterFilter selects dead letters by the flags --reason and --id.
type deadLetterFilter struct{ reason, id string }

func (f *deadLetterFilter) flags(fs *flag.FlagSet) {
	fs.StringVar(&f.reason, "reason", "", "only dead letters with these `words` in their reason or cause, in any case")
	fs.StringVar(&f.id, "id", "", "only dead letters with this `ID`, their own or that of their image")
}

func (f deadLetterFilter) match(l DeadLetter) bool {
	return (f.id == "" || l.hasID(f.id)) && contains(f.reason, l.Reason, l.Cause)
}

// hasID reports whether id is that of the dead letter or of its image.
func (l DeadLetter) hasID(id string) bool { return id == l.ID || strings.EqualFold(id, l.ImageID) }

// contains reports whether one of the texts contains words, in any case.
func contains(words string, texts ...string) bool {
	for _, t := range texts {
		if strings.Contains(strings.ToLower(t), strings.ToLower(words)) {
			return true
		}
	}
	return false
}
