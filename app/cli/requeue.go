package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"imagery/app/imagery"
)

const aboutRequeue = `Makes failed images uploaded again, with the same originals, and sends their hints.

With an ID it is about that image; an unfinished one only gets its hint again. With --failed it is about every failed
image that the other flags pick: for the day when a bad release failed good photos. That reads the whole table. Photos
that are really bad fail again. It may be killed and repeated at any time.`

// requeueing is one run of requeue.
type requeueing struct {
	Backend
	failed  bool
	release string
	since   string
	reason  string
	pace    pace
	dry     bool

	after   time.Time // what since says
	results []requeued
	count   atomic.Int64
}

// requeued is what became of one image.
type requeued struct {
	ImageID string `json:"imageId"`
	Action  Action `json:"action"`
	Version int64  `json:"version"` // after it
	Reason  string `json:"reason,omitempty"`
	Release string `json:"release,omitempty"` // that failed it
	Done    bool   `json:"done"`              // false in a dry run, and after an error
	Error   string `json:"error,omitempty"`
}

// requeue is the verb.
func requeue(fs *flag.FlagSet) func(context.Context, Call) error {
	r := requeueing{results: []requeued{}}
	fs.BoolVar(&r.failed, "failed", false, "all failed images, or those that --release, --since and --reason pick")
	fs.StringVar(&r.release, "release", "", "failed by this `release`: what /version answers, or its beginning")
	fs.StringVar(&r.since, "since", "", "failed since a `time`: an age such as 2h, or a point such as 2026-01-02T15:04:05Z")
	fs.StringVar(&r.reason, "reason", "", "failed with these `words` in the reason or cause, in any case")
	r.pace.flags(fs)
	fs.BoolVar(&r.dry, "dry-run", false, "say what would be done, and do nothing")
	asJSON := jsonFlag(fs)
	return func(ctx context.Context, c Call) (err error) {
		id, err := r.check(c)
		if err != nil {
			return err
		}
		if r.Backend, err = c.open(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.Close()) }()
		if id != "" {
			if err := r.one(ctx, id, nil); err != nil {
				return err
			}
			return r.print(c, *asJSON)
		}
		err = r.all(ctx, c)
		return errors.Join(r.print(c, *asJSON), err, r.verdict())
	}
}

// check looks at what was typed and returns the id of the one image, if it is one.
func (r *requeueing) check(c Call) (id string, err error) {
	if err := r.pace.check(); err != nil {
		return "", err
	}
	if !r.failed {
		if r.release+r.since+r.reason != "" {
			return "", usage("--release, --since and --reason pick among --failed images")
		}
		if id, err = c.oneID("id of an image, or --failed"); err != nil {
			return "", err
		}
		if _, err := imagery.ParseID(id); err != nil {
			return "", usage("%q: %v", id, err)
		}
		return id, nil
	}
	if len(c.Args) > 0 {
		return "", usage("--failed is about all failed images: leave out %q, or --failed", c.Args[0])
	}
	r.after, err = parseSince(r.since, time.Now())
	return "", err
}

// parseSince reads an age or a point in time; nothing is the beginning of time.
func parseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.After(now) {
		return t, usage("--since %q is no age such as 2h, nor a past time such as %s", s, now.Add(-2*time.Hour).UTC().Format(time.RFC3339))
	}
	return t, nil
}

// meant reports whether the flags pick the image.
func (r *requeueing) meant(img imagery.Image) bool {
	e := lastEvent(img)
	release := strings.ToLower(r.release)
	return img.State == imagery.Failed && !img.Updated.Before(r.after) && contains(r.reason, img.Error, e.Cause) &&
		(release == "" || e.Release != "" && (strings.HasPrefix(e.Release, release) || strings.HasPrefix(release, e.Release)))
}

// all finds the images first and brings them back then: a scan does not see its own changes twice, and whoever
// watches knows how many there are.
func (r *requeueing) all(ctx context.Context, c Call) error {
	var ids []string
	done := c.watch(func() string { return fmt.Sprintf("%d images read", r.count.Load()) })
	err := r.Store.Scan(ctx, func(img imagery.Image) error {
		if r.count.Add(1); r.meant(img) {
			ids = append(ids, img.ID)
		}
		return ctx.Err()
	})
	done()
	if stopped := interrupted(ctx); stopped != nil {
		return stopped
	}
	if err != nil {
		return fmt.Errorf("read all images: %w", err)
	}
	r.count.Store(0)
	defer c.watch(func() string { return fmt.Sprintf("%d of %d images", r.count.Load(), len(ids)) })()
	for _, id := range ids {
		if !r.dry && !r.pace.wait(ctx) || ctx.Err() != nil {
			return errInterrupted
		}
		if err := r.one(ctx, id, r.meant); errors.Is(err, imagery.ErrNotFound) || errors.Is(err, imagery.ErrNotSelected) {
			continue // somebody else was faster
		} else if err != nil {
			r.results = append(r.results, requeued{ImageID: id, Action: Keep, Error: say(err)})
		}
		r.count.Add(1)
	}
	return nil
}

// one brings one image back, or looks at whether it could be.
func (r *requeueing) one(ctx context.Context, id string, meant func(imagery.Image) bool) error {
	before, err := r.Service.Get(ctx, id)
	if err != nil {
		return err
	}
	did := requeued{ImageID: before.ID, Action: Requeue, Version: before.Version + 1, Reason: before.Error}
	if e := lastEvent(before); e.State == imagery.Failed {
		did.Release = e.Release
	}
	if before.State == imagery.Uploaded {
		did.Action, did.Version, did.Reason = Resend, before.Version, "it is unfinished, and gets its hint again"
	}
	if r.dry {
		if before.State == imagery.Processed || before.State == imagery.Created {
			return fmt.Errorf("image %s is %s: %w", before.ID, before.State, imagery.ErrNothingToRequeue)
		}
		if err := r.Store.Find(ctx, before.RawKey); errors.Is(err, imagery.ErrNotFound) {
			return fmt.Errorf("image %s: %w", before.ID, imagery.ErrOriginalGone)
		} else if err != nil {
			return fmt.Errorf("find %s: %w", before.RawKey, err)
		}
		r.results = append(r.results, did)
		return nil
	}
	img, moved, err := r.Service.Requeue(context.WithoutCancel(ctx), id, r.Store, meant)
	if err != nil && moved {
		return fmt.Errorf("it is uploaded again, but its hint waits for the reconciler: %w", err)
	}
	if err != nil {
		return err
	}
	did.Version, did.Done = img.Version, true
	r.results = append(r.results, did)
	return nil
}

func (r *requeueing) print(c Call, asJSON bool) error {
	if asJSON {
		return c.document(struct {
			DryRun bool       `json:"dryRun"`
			Images []requeued `json:"images"`
		}{r.dry, r.results})
	}
	if len(r.results) == 0 {
		fmt.Fprintln(c.Out, "no failed image matches")
		return nil
	}
	rows := [][]string{{"IMAGE", "ACTION", "VERSION", "RELEASE", "DETAIL"}}
	for _, d := range r.results {
		detail := d.Reason
		if d.Error != "" {
			detail = "not done: " + d.Error
		}
		rows = append(rows, []string{d.ImageID, string(d.Action), strconv.FormatInt(d.Version, 10), d.Release, detail})
	}
	err := c.columns(rows)
	if r.dry {
		fmt.Fprintln(c.Out, nothingChanged)
	}
	return err
}

// verdict is the error of a run of which something was not done.
func (r *requeueing) verdict() error {
	failed := 0
	for _, d := range r.results {
		if d.Error != "" {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %s stay as they are: see above", failed, plural(len(r.results), "image"))
	}
	return nil
}
