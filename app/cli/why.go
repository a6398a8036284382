package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"time"

	"imagery/app/imagery"
)

const aboutWhy = `Tells on one page why an image is as it is: its state, each transition with its time, release, instance, receives
and cause, the last error, whether its objects are there, and what happens next or what to type.

The history holds the newest transitions; an image that the book's app wrote has none.`

// page is what why says.
type page struct {
	ID       string          `json:"id"`
	State    imagery.State   `json:"state"`
	Version  int64           `json:"version"`
	Created  time.Time       `json:"created,omitzero"`
	Updated  time.Time       `json:"updated,omitzero"` // time of the last transition
	Hinted   time.Time       `json:"hinted,omitzero"`
	Expires  time.Time       `json:"expires,omitzero"`
	Error    string          `json:"error,omitempty"`
	Original *object         `json:"original,omitempty"`
	Result   *object         `json:"result,omitempty"`
	History  []imagery.Event `json:"history"`
	Next     string          `json:"next"`
}

// object is one that the image names. Exists is absent when that cannot be told; Problem says why.
type object struct {
	Key     string `json:"key"`
	Exists  *bool  `json:"exists,omitempty"`
	Problem string `json:"problem,omitempty"`
}

func (o *object) gone() bool { return o != nil && o.Exists != nil && !*o.Exists }

func (o *object) String() string {
	switch {
	case o == nil:
		return "none"
	case o.Exists == nil:
		return o.Key + ", cannot tell whether it exists: " + o.Problem
	case *o.Exists:
		return o.Key + ", exists"
	}
	return o.Key + ", gone"
}

// why is the verb.
func why(fs *flag.FlagSet) func(context.Context, Call) error {
	asJSON := jsonFlag(fs)
	return func(ctx context.Context, c Call) (err error) {
		arg, err := c.oneID("id of an image")
		if err != nil {
			return err
		}
		id, err := imagery.ParseID(arg)
		if err != nil {
			return usage("%q: %v", arg, err)
		}
		b, err := c.open(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.Close()) }()
		img, err := b.Service.Get(ctx, id)
		if errors.Is(err, imagery.ErrNotFound) {
			return fmt.Errorf("there is no image %s; one without an upload is forgotten after a day", id)
		}
		if err != nil {
			return err
		}
		now := b.Service.Now()
		p := b.page(ctx, img, now)
		if *asJSON {
			return c.document(p)
		}
		return p.print(c.Console, now)
	}
}

// page looks at the image's objects and puts the page together.
func (b Backend) page(ctx context.Context, img imagery.Image, now time.Time) page {
	p := page{ID: img.ID, State: img.State, Version: img.Version, Created: img.Created.UTC(), Updated: img.Updated.UTC(),
		Hinted: img.Hinted.UTC(), Expires: img.Expires.UTC(), Error: img.Error, History: []imagery.Event{},
		Original: b.object(ctx, img.RawKey), Result: b.object(ctx, img.ProcessedKey)}
	for _, e := range img.History {
		e.At = e.At.UTC()
		p.History = append(p.History, e)
	}
	p.Next = p.next(b.Service.NextHint, img, now)
	return p
}

func (b Backend) object(ctx context.Context, key string) *object {
	if key == "" {
		return nil
	}
	err := b.Store.Find(ctx, key)
	if err != nil && !errors.Is(err, imagery.ErrNotFound) {
		return &object{Key: key, Problem: say(err)}
	}
	return &object{Key: key, Exists: new(err == nil)}
}

// next says what will happen to the image by itself, and else what a person can do.
func (p page) next(nextHint func(imagery.Image) time.Time, img imagery.Image, now time.Time) string {
	switch img.State {
	case imagery.Created:
		return "it waits for its upload, and is forgotten at " + stamp(p.Expires)
	case imagery.Processed:
		if p.Result.gone() {
			return "its result is gone and nothing brings it back under this id: see imagery fsck, and restore it, or upload the photo as a new image"
		}
		return "nothing: it is done"
	case imagery.Failed:
		if p.Original.gone() {
			return "its original is gone: only its user can upload it again"
		}
		return "nothing by itself. If the photo is bad, its user uploads another one. If not, mend the cause, then: imagery requeue " + p.ID
	}
	if p.Original.gone() {
		return "its original is gone: it fails when its deliveries are used up; then only its user can upload it again"
	}
	due := nextHint(img)
	if late := now.Sub(due); late > 0 {
		return fmt.Sprintf("a worker should have it: its hint was due again %s ago. Look whether workers run; imagery requeue %s sends the hint at once", age(late), p.ID)
	}
	return fmt.Sprintf("a worker processes it. If its hint is lost, it is sent again at %s, in %s", stamp(due), age(due.Sub(now)))
}

// print writes the page.
func (p page) print(c Console, now time.Time) error {
	facts := [][2]string{
		{"image", p.ID},
		{"state", fmt.Sprintf("%s since %s (%s), version %d", p.State, stamp(p.Updated), age(now.Sub(p.Updated)), p.Version)},
		{"created", stamp(p.Created)},
	}
	if !p.Hinted.IsZero() {
		facts = append(facts, [2]string{"hint sent", stamp(p.Hinted)})
	}
	if p.Error != "" {
		facts = append(facts, [2]string{"error", p.Error})
	}
	facts = append(facts, [2]string{"original", p.Original.String()}, [2]string{"result", p.Result.String()}, [2]string{"next", p.Next})
	if err := c.facts(facts); err != nil || len(p.History) == 0 {
		return err
	}
	fmt.Fprintln(c.Out)
	rows := [][]string{{"TIME", "STATE", "VERSION", "RECEIVES", "RELEASE", "INSTANCE", "CAUSE"}}
	for _, e := range p.History {
		receives := ""
		if e.Receives > 0 {
			receives = strconv.Itoa(e.Receives)
		}
		rows = append(rows, []string{e.At.Format("2006-01-02T15:04:05.000Z"), string(e.State), strconv.FormatInt(e.Version, 10),
			receives, e.Release, e.Instance, e.Cause})
	}
	return c.columns(rows)
}
