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

const aboutRequeue = `Process failed images again, from the same originals

With an ID it requeues that image; of an unfinished one it only sends the hint again. With --failed it requeues every
failed image that the other flags select, for example after a bad release failed good photos. That reads the whole
table. Photos that are broken fail again. It may be killed and repeated at any time.`

// requeuer is one run of requeue.
type requeuer struct {
	Deployment
	failed  bool
	release string
	since   string
	reason  string
	limiter rateLimiter
	dryRun  bool

	after   time.Time // since as a time
	results []requeued
	count   atomic.Int64
}

// requeued is the outcome for one image.
type requeued struct {
	ImageID string `json:"imageId"`
	Action  Action `json:"action"`
	Version int64  `json:"version"` // after the requeue
	Reason  string `json:"reason,omitempty"`
	Release string `json:"release,omitempty"` // that failed the image
	Done    bool   `json:"done"`              // false in a dry run, and after an error
	Error   string `json:"error,omitempty"`
}

// requeueCmd is the command requeue.
func requeueCmd(fs *flag.FlagSet) func(context.Context, Invocation) error {
	r := requeuer{results: []requeued{}}
	fs.BoolVar(&r.failed, "failed", false, "all failed images, or those that --release, --since and --reason select")
	fs.StringVar(&r.release, "release", "", "failed by this `release`: the answer of /version, or its beginning")
	fs.StringVar(&r.since, "since", "", "failed since a `time`: an age such as 2h, or a time such as 2026-01-02T15:04:05Z")
	fs.StringVar(&r.reason, "reason", "", "failed with these `words` in the reason or cause, in any case")
	r.limiter.flags(fs)
	fs.BoolVar(&r.dryRun, "dry-run", false, "print what would be done, and change nothing")
	asJSON := jsonFlag(fs)
	return func(ctx context.Context, inv Invocation) (err error) {
		id, err := r.validate(inv)
		if err != nil {
			return err
		}
		if r.Deployment, err = inv.open(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.Close()) }()
		if id != "" {
			if err := r.requeue(ctx, id, nil); err != nil {
				return err
			}
			return r.print(inv, *asJSON)
		}
		err = r.requeueAll(ctx, inv)
		return errors.Join(r.print(inv, *asJSON), err, r.failure())
	}
}

// validate checks the command line. It returns the id of the image to requeue, or "" for --failed.
func (r *requeuer) validate(inv Invocation) (id string, err error) {
	if err := r.limiter.validate(); err != nil {
		return "", err
	}
	if !r.failed {
		if r.release+r.since+r.reason != "" {
			return "", usage("--release, --since and --reason select among --failed images")
		}
		if id, err = inv.oneArg("id of an image, or --failed"); err != nil {
			return "", err
		}
		if _, err := imagery.ParseID(id); err != nil {
			return "", usage("%q: %v", id, err)
		}
		return id, nil
	}
	if len(inv.Args) > 0 {
		return "", usage("--failed selects all failed images: leave out %q, or --failed", inv.Args[0])
	}
	r.after, err = parseSince(r.since, time.Now())
	return "", err
}

// parseSince parses an age or a time in the past. For "" it returns the zero time.
func parseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.After(now) {
		return t, usage("--since %q is neither an age such as 2h nor a past time such as %s", s,
			formatTime(now.Add(-2*time.Hour)))
	}
	return t, nil
}

// selects reports whether the flags select the image.
func (r *requeuer) selects(img imagery.Image) bool {
	e := lastEvent(img)
	release := strings.ToLower(r.release)
	byRelease := e.Release != "" && (strings.HasPrefix(e.Release, release) || strings.HasPrefix(release, e.Release))
	return img.State == imagery.Failed && !img.Updated.Before(r.after) && contains(r.reason, img.Error, e.Cause) &&
		(release == "" || byRelease)
}

// requeueAll finds the images first and requeues them afterwards. So the scan does not see its own changes, and the
// progress line knows the total.
func (r *requeuer) requeueAll(ctx context.Context, inv Invocation) error {
	var ids []string
	done := inv.progress(func() string { return fmt.Sprintf("%d images read", r.count.Load()) })
	err := r.Store.Scan(ctx, func(img imagery.Image) error {
		if r.count.Add(1); r.selects(img) {
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
	defer inv.progress(func() string { return fmt.Sprintf("%d of %d images", r.count.Load(), len(ids)) })()
	for _, id := range ids {
		if !r.dryRun && !r.limiter.wait(ctx) || ctx.Err() != nil {
			return errInterrupted
		}
		err := r.requeue(ctx, id, r.selects)
		if errors.Is(err, imagery.ErrNotFound) || errors.Is(err, imagery.ErrNotSelected) {
			continue // it was changed meanwhile
		}
		if err != nil {
			r.results = append(r.results, requeued{ImageID: id, Action: Keep, Error: errorText(err)})
		}
		r.count.Add(1)
	}
	return nil
}

// requeue requeues one image, or in a dry run checks whether that is possible. A nil selects accepts every image.
func (r *requeuer) requeue(ctx context.Context, id string, selects func(imagery.Image) bool) error {
	before, err := r.Service.Get(ctx, id)
	if err != nil {
		return err
	}
	result := requeued{ImageID: before.ID, Action: Requeue, Version: before.Version + 1, Reason: before.Error}
	if e := lastEvent(before); e.State == imagery.Failed {
		result.Release = e.Release
	}
	if before.State == imagery.Uploaded {
		result.Action, result.Version, result.Reason = Resend, before.Version, "it is unfinished: its hint is sent again"
	}
	if r.dryRun {
		if before.State == imagery.Processed || before.State == imagery.Created {
			return fmt.Errorf("image %s is %s: %w", before.ID, before.State, imagery.ErrNothingToRequeue)
		}
		if err := r.Store.Find(ctx, before.RawKey); errors.Is(err, imagery.ErrNotFound) {
			return fmt.Errorf("image %s: %w", before.ID, imagery.ErrOriginalGone)
		} else if err != nil {
			return fmt.Errorf("find %s: %w", before.RawKey, err)
		}
		r.results = append(r.results, result)
		return nil
	}
	img, moved, err := r.Service.Requeue(context.WithoutCancel(ctx), id, r.Store, selects)
	if err != nil && moved {
		return fmt.Errorf("the image is uploaded again, but the reconciler must send its hint: %w", err)
	}
	if err != nil {
		return err
	}
	result.Version, result.Done = img.Version, true
	r.results = append(r.results, result)
	return nil
}

func (r *requeuer) print(inv Invocation, asJSON bool) error {
	if asJSON {
		return inv.printJSON(struct {
			DryRun bool       `json:"dryRun"`
			Images []requeued `json:"images"`
		}{r.dryRun, r.results})
	}
	if len(r.results) == 0 {
		fmt.Fprintln(inv.Out, "no failed image matches")
		return nil
	}
	rows := [][]string{{"IMAGE", "ACTION", "VERSION", "RELEASE", "DETAIL"}}
	for _, d := range r.results {
		rows = append(rows, []string{d.ImageID, string(d.Action), strconv.FormatInt(d.Version, 10), d.Release,
			notDone(d.Error, d.Reason)})
	}
	err := inv.table(rows)
	if r.dryRun {
		fmt.Fprintln(inv.Out, dryRunNote)
	}
	return err
}

// failure returns the error of a run that did not do everything.
func (r *requeuer) failure() error {
	failed := 0
	for _, d := range r.results {
		if d.Error != "" {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %s are unchanged: see above", failed, plural(len(r.results), "image"))
	}
	return nil
}
