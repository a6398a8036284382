package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"imagery/app/imagery"
)

const aboutWhy = `Explain the state of an image, what happens next and what you can do

It shows the state, each transition with its time, release, instance, receives and cause, the last error and whether the
objects exist. The history has the newest transitions; an image that the original application wrote has none.`

// imageReport holds the output of why.
type imageReport struct {
	ID       string          `json:"id"`
	State    imagery.State   `json:"state"`
	Version  int64           `json:"version"`
	Created  time.Time       `json:"created,omitzero"`
	Updated  time.Time       `json:"updated,omitzero"` // time of the last transition
	Hinted   time.Time       `json:"hinted,omitzero"`
	Expires  time.Time       `json:"expires,omitzero"`
	Warning  string          `json:"warning,omitempty"`
	Error    string          `json:"error,omitempty"`
	Original *object         `json:"original,omitempty"`
	Result   *object         `json:"result,omitempty"`
	History  []imagery.Event `json:"history"`
	Next     string          `json:"next"`
}

// object is one that the image names. Exists is absent when it is unknown; then Problem says why.
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
		return o.Key + ", unknown whether it exists: " + o.Problem
	case *o.Exists:
		return o.Key + ", exists"
	}
	return o.Key + ", gone"
}

func why(ctx context.Context, inv Invocation) error {
	id, err := inv.idArg()
	if err != nil {
		return err
	}
	return inv.use(ctx, func(d Deployment) error {
		img, err := d.Service.Get(ctx, id)
		if errors.Is(err, imagery.ErrNotFound) {
			return fmt.Errorf("there is no image %s: one without an upload expires after a day, every other id is mistyped", id)
		}
		if err != nil {
			return err
		}
		now := d.Service.Now()
		r := d.imageReport(ctx, img, now)
		if inv.JSON {
			return inv.printJSON(r)
		}
		return r.print(inv.Console, now)
	})
}

// imageReport looks up the objects of an image and returns the report.
func (d Deployment) imageReport(ctx context.Context, img imagery.Image, now time.Time) imageReport {
	r := imageReport{ID: img.ID, State: img.State, Version: img.Version, Created: img.Created.UTC(),
		Updated: img.Updated.UTC(), Hinted: img.Hinted.UTC(), Expires: img.Expires.UTC(), Warning: img.Warning,
		Error: img.Error, History: []imagery.Event{}, Original: d.object(ctx, img.RawKey),
		Result: d.object(ctx, img.ProcessedKey)}
	for _, e := range img.History {
		e.At = e.At.UTC()
		r.History = append(r.History, e)
	}
	r.Next = r.next(d.Service.NextHint(img), now)
	return r
}

// object looks up an object; it returns nil for an empty key.
func (d Deployment) object(ctx context.Context, key string) *object {
	if key == "" {
		return nil
	}
	err := d.Store.Find(ctx, key)
	if err != nil && !errors.Is(err, imagery.ErrNotFound) {
		return &object{Key: key, Problem: errorText(err)}
	}
	return &object{Key: key, Exists: new(err == nil)}
}

// next returns what will happen to the image without action, or what a person can do. Due is when its hint is sent
// again.
func (r imageReport) next(due, now time.Time) string {
	switch {
	case r.State == imagery.Created:
		return "it waits for its upload, and expires at " + formatTime(r.Expires)
	case r.State == imagery.Processed && r.Result.gone():
		return "its result is gone and is not made again under this id: restore it (imagery fsck lists all such images), " +
			"or upload the photo as a new image"
	case r.State == imagery.Processed:
		return "nothing: it is done"
	case r.State == imagery.Failed && r.Original.gone():
		return "its original is gone: only its user can upload it again"
	case r.State == imagery.Failed:
		return "nothing without action. If the photo is broken, its user must upload another one. Otherwise fix the cause, " +
			"then: imagery requeue " + r.ID
	case r.Original.gone():
		return "its original is gone: it fails after the last delivery; then only its user can upload it again"
	case now.After(due):
		return fmt.Sprintf("a worker should be processing it: its hint was due again %s ago. Check that workers run "+
			"(imagery status); imagery requeue %s sends the hint at once", age(now.Sub(due)), r.ID)
	}
	return fmt.Sprintf("a worker processes it. If its hint is lost, it is sent again at %s, in %s",
		formatTime(due), age(due.Sub(now)))
}

func (r imageReport) print(c Console, now time.Time) error {
	facts := [][]string{
		{"image", r.ID},
		{"state", fmt.Sprintf("%s since %s (%s), version %d", r.State, formatTime(r.Updated),
			age(now.Sub(r.Updated)), r.Version)},
		{"created", formatTime(r.Created)},
	}
	if !r.Hinted.IsZero() {
		facts = append(facts, []string{"hint sent", formatTime(r.Hinted)})
	}
	if r.Warning != "" {
		facts = append(facts, []string{"warning", r.Warning})
	}
	if r.Error != "" {
		facts = append(facts, []string{"error", r.Error})
	}
	facts = append(facts, []string{"original", r.Original.String()}, []string{"result", r.Result.String()},
		[]string{"next", r.Next})
	if err := c.table(facts); err != nil || len(r.History) == 0 {
		return err
	}
	fmt.Fprintln(c.Out)
	rows := [][]string{{"TIME", "STATE", "VERSION", "RECEIVES", "RELEASE", "INSTANCE", "CAUSE"}}
	for _, e := range r.History {
		rows = append(rows, []string{e.At.Format("2006-01-02T15:04:05.000Z"), string(e.State),
			strconv.FormatInt(e.Version, 10), nonZero(e.Receives), e.Release, e.Instance, e.Cause})
	}
	return c.table(rows)
}
