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

// Action is what becomes of a dead letter, or of an image, that is brought back.
type Action string

// The actions.
const (
	Requeue Action = "requeue" // the failed image becomes uploaded again, and its hint is sent
	Resend  Action = "resend"  // the image is unfinished: its hint is sent
	Drop    Action = "drop"    // nothing is left to do: the letter is deleted
	Keep    Action = "keep"    // nothing is done
)

// States of a letter's image that images themselves do not have.
const (
	malformed = "malformed" // the letter is no hint
	gone      = "gone"      // there is no such image, or no longer
)

// Letter is a dead letter and what its image says now.
type Letter struct {
	ID       string    `json:"id"`
	ImageID  string    `json:"imageId,omitempty"`
	State    string    `json:"state"` // of the image, or malformed, or gone
	Reason   string    `json:"reason"`
	Sent     time.Time `json:"sent"`
	Receives int       `json:"receives"` // of the failure; where the image does not say, of the letter
	Cause    string    `json:"cause,omitempty"`
	Release  string    `json:"release,omitempty"`  // that gave the image up
	Instance string    `json:"instance,omitempty"` // that gave the image up
	Trace    string    `json:"trace,omitempty"`
	Body     string    `json:"body"`
	Redrive  Action    `json:"redrive"` // what redrive does with it

	message imagery.Message
	rawKey  string // of the image
}

// letter describes a message from a fresh read of its image.
func (b Backend) letter(ctx context.Context, m imagery.Message) (Letter, error) {
	l := Letter{ID: m.ID, Sent: m.Sent.UTC(), Receives: m.Receives, Trace: m.Trace, Body: string(m.Body), Redrive: Drop, message: m}
	hint, err := imagery.ParseHint(m.Body)
	if err != nil {
		l.State, l.Reason, l.Redrive = malformed, err.Error(), Keep
		return l, nil
	}
	l.ImageID = hint.ImageID
	img, err := b.Service.Get(ctx, hint.ImageID)
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
		l.Reason = "a worker succeeded after all"
	case img.State == imagery.Uploaded && m.Sent.Before(img.Updated):
		l.Redrive, l.Reason = Resend, "the image is on its way again"
	case img.State == imagery.Uploaded:
		l.Redrive, l.Reason = Resend, "nobody has said why yet"
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

// lastEvent is the newest event of an image's history, empty if it has none.
func lastEvent(img imagery.Image) imagery.Event {
	if len(img.History) == 0 {
		return imagery.Event{}
	}
	return img.History[len(img.History)-1]
}

const (
	// lookAgain is how long an empty queue is waited at: a worker that looks at the letters hides them meanwhile,
	// and "none" is an answer that people act on.
	lookAgain = time.Second
	// receiveBatch is the most that a queue gives at once.
	receiveBatch = 10
	// giveBack bounds giving letters back; the rest comes back when its visibility ends.
	giveBack = 10 * time.Second
)

// eachLetter hands every dead letter to do, once, up to batch of them received together. Nobody else sees them
// until the end; then all that do did not delete are given back. The end is an empty queue, or, where letters come
// back before all are seen, as many known ones in a row as there are.
func (b Backend) eachLetter(ctx context.Context, batch int, do func(Letter) (deleted bool, err error)) (err error) {
	held := map[string]imagery.Message{}
	defer func() {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBack)
		defer cancel()
		list := make([]imagery.Message, 0, len(held))
		for _, m := range held {
			list = append(list, m)
		}
		_, _ = b.Service.DeadLetters.Extend(within, 0, list...)
	}()
	seen, again := map[string]bool{}, 0
	for wait := lookAgain; again <= len(seen); wait = 0 {
		ms, err := b.Service.DeadLetters.Receive(ctx, batch, wait)
		if err != nil {
			return fmt.Errorf("receive dead letters: %w", err)
		}
		if len(ms) == 0 {
			break
		}
		var fresh []imagery.Message
		for _, m := range ms {
			held[m.ID] = m
			if again++; !seen[m.ID] { // else its visibility ended while others were looked at
				seen[m.ID], again = true, 0
				fresh = append(fresh, m)
			}
		}
		letters, err := b.describe(ctx, fresh)
		for i := 0; err == nil && i < len(letters); i++ {
			var deleted bool
			if deleted, err = do(letters[i]); deleted {
				delete(held, letters[i].ID)
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

// describe describes a batch; the images are read at the same time.
func (b Backend) describe(ctx context.Context, ms []imagery.Message) ([]Letter, error) {
	letters, errs := make([]Letter, len(ms)), make([]error, len(ms))
	var all sync.WaitGroup
	for i, m := range ms {
		all.Go(func() { letters[i], errs[i] = b.letter(ctx, m) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err // one line: the others say the same
		}
	}
	return letters, nil
}

// letterFilter picks letters.
type letterFilter struct{ reason, id string }

func (f *letterFilter) flags(fs *flag.FlagSet) {
	fs.StringVar(&f.reason, "reason", "", "only letters with these `words` in their reason or cause, in any case")
	fs.StringVar(&f.id, "id", "", "only letters with this `ID`, their own or their image's")
}

func (f letterFilter) match(l Letter) bool {
	return (f.id == "" || l.is(f.id)) && contains(f.reason, l.Reason, l.Cause)
}

// is reports whether somebody means this letter by that id.
func (l Letter) is(id string) bool { return id == l.ID || strings.EqualFold(id, l.ImageID) }

// contains reports whether one of the texts has the words, in any case.
func contains(words string, texts ...string) bool {
	for _, t := range texts {
		if strings.Contains(strings.ToLower(t), strings.ToLower(words)) {
			return true
		}
	}
	return false
}
