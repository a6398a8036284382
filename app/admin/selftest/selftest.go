// Package selftest processes built-in pictures with the real bucket, table and queue, which an instance must pass
// before it gets traffic. It only touches its own data: objects below selftest/, one item whose id starts with
// iam.SelftestIDPrefix, and one message about that item.
package selftest

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/jpeg" // the formats of results
	_ "image/png"
	"io"
	"path"
	"strings"
	"time"

	"imagery/app/deploy/iam"
	"imagery/app/imagery"
)

// pictures has one file for each accepted format: 32 x 32 pixels with one colour in each quarter.
//
//go:embed pictures
var pictures embed.FS

// quarters are the expected colours of the four quarters after the filter, calculated from its definition.
var quarters = [4]color.NRGBA{{194, 123, 120, 255}, {172, 223, 164, 255}, {135, 139, 180, 255}, {207, 201, 188, 255}}

// tolerance limits the difference of a channel from its expected value, of 255: JPEG is lossy, and encoded twice.
const tolerance = 8

// Dependencies are the services that the test uses.
type Dependencies struct {
	Catalog imagery.Catalog
	Blobs   imagery.Blobs
	Queue   imagery.Queue
	Filter  imagery.Filter
	// DeleteItem and DeleteObject are used to clean up.
	DeleteItem   func(ctx context.Context, id string) error
	DeleteObject func(ctx context.Context, key string) error
	Now          func() time.Time
}

// Run performs the test and writes one line per step to out. It cleans up even if a step fails, and returns all errors
// joined. It may run on many machines at the same time.
func Run(ctx context.Context, d Dependencies, out io.Writer) error {
	files, err := pictures.ReadDir("pictures")
	if err != nil {
		return fmt.Errorf("list the built-in pictures: %w", err)
	}
	id := iam.SelftestIDPrefix + imagery.NewID()[len(iam.SelftestIDPrefix):]
	var errs []error
	step := func(name string, err error) {
		result := "ok"
		if err != nil {
			result = err.Error()
			errs = append(errs, fmt.Errorf("selftest %s: %w", name, err))
		}
		fmt.Fprintf(out, "%-24s %s\n", name, result)
	}
	for _, f := range files {
		step(f.Name(), d.picture(ctx, "selftest/"+id, f.Name()))
	}
	step("table", d.table(ctx, id))
	step("queue", d.queue(ctx, id))
	step("clean up table", d.DeleteItem(ctx, id))
	return errors.Join(errs...)
}

// picture stores, reads and filters one picture, then stores, reads and checks the result.
func (d Dependencies) picture(ctx context.Context, folder, name string) (err error) {
	raw, err := pictures.ReadFile("pictures/" + name)
	if err != nil {
		return permanentError{err}
	}
	original := folder + "/raw-" + name
	defer func() { err = errors.Join(err, d.DeleteObject(context.WithoutCancel(ctx), original)) }()
	stored, err := d.roundTrip(ctx, original, "application/octet-stream", raw)
	if err != nil {
		return err
	}
	result, err := d.Filter.Apply(ctx, stored)
	if err != nil && ctx.Err() == nil {
		return permanentError{fmt.Errorf("filter: %w", err)}
	} else if err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	key := folder + "/" + strings.TrimSuffix(name, path.Ext(name)) + "." + result.Ext
	defer func() { err = errors.Join(err, d.DeleteObject(context.WithoutCancel(ctx), key)) }()
	body, err := io.ReadAll(result.Body)
	if err != nil {
		return permanentError{fmt.Errorf("read the result: %w", err)}
	}
	if stored, err = d.roundTrip(ctx, key, result.ContentType, body); err != nil {
		return err
	}
	return checkColours(stored)
}

// roundTrip puts an object, reads it back and compares.
func (d Dependencies) roundTrip(ctx context.Context, key, contentType string, data []byte) ([]byte, error) {
	if err := d.Blobs.Put(ctx, key, contentType, bytes.NewReader(data), int64(len(data))); err != nil {
		return nil, fmt.Errorf("put %s: %w", key, err)
	}
	back, err := d.Blobs.Get(ctx, key, int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", key, err)
	}
	if !bytes.Equal(back, data) {
		return nil, permanentError{fmt.Errorf("get %s: the bytes differ from those that were put", key)}
	}
	return back, nil
}

// checkColours compares the middle of each quarter with its expected colour. Its errors are permanent.
func checkColours(result []byte) error {
	m, _, err := image.Decode(bytes.NewReader(result))
	if err != nil {
		return permanentError{fmt.Errorf("decode the result: %w", err)}
	}
	if m.Bounds().Size() != (image.Point{X: 32, Y: 32}) {
		return permanentError{fmt.Errorf("the result is %v large", m.Bounds().Size())}
	}
	for i, want := range quarters {
		got := color.NRGBAModel.Convert(m.At(8+16*(i%2), 8+16*(i/2))).(color.NRGBA)
		if differs(got.R, want.R) || differs(got.G, want.G) || differs(got.B, want.B) || got.A != 255 {
			return permanentError{fmt.Errorf("quarter %d is %v, want %v", i, got, want)}
		}
	}
	return nil
}

func differs(a, b uint8) bool { return int(a)-int(b) > tolerance || int(b)-int(a) > tolerance }

// table creates, changes and reads an item. Its state is processed from the start, so that neither a worker nor the
// reconciler handles it. If it cannot be deleted, it expires.
func (d Dependencies) table(ctx context.Context, id string) error {
	now := d.Now().Truncate(time.Millisecond)
	img := imagery.Image{ID: id, State: imagery.Processed, Created: now, Updated: now,
		Expires: now.Add(time.Hour).Truncate(time.Second), ProcessedKey: "selftest/" + id}
	if err := d.Catalog.Create(ctx, img, now); err != nil {
		return fmt.Errorf("create item %s: %w", id, err)
	}
	to := img
	to.Version++
	if err := d.Catalog.Move(ctx, img, to); err != nil {
		return fmt.Errorf("change item %s: %w", id, err)
	}
	got, err := d.Catalog.Get(ctx, id)
	if err != nil {
		return fmt.Errorf("read item %s: %w", id, err)
	}
	if got.Version != to.Version || got.State != to.State {
		return permanentError{fmt.Errorf("read item %s: got version %d, want %d", id, got.Version, to.Version)}
	}
	return nil
}

// queue sends a hint that workers of every release delete, since its image is processed, or deleted by then. It
// receives nothing, since that would delay the hints of real images.
func (d Dependencies) queue(ctx context.Context, id string) error {
	if _, err := d.Queue.Limits(ctx); err != nil {
		return fmt.Errorf("read the queue's attributes: %w", err)
	}
	body := fmt.Sprintf(`{"imageId":%q,"desiredState":%q}`, id, imagery.Processed)
	if err := d.Queue.Send(ctx, []byte(body), ""); err != nil {
		return fmt.Errorf("send a hint: %w", err)
	}
	return nil
}

// permanentError is an error that retrying cannot fix, such as a wrong pixel.
type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }

// IsPermanent reports whether err contains an error that retrying cannot fix: this machine produces wrong results.
// Other errors, such as a denied call or a timeout, may end once permissions, endpoints or a service become available.
func IsPermanent(err error) bool {
	_, is := errors.AsType[permanentError](err)
	return is
}

// Retry calls attempt, with a pause in between, until it succeeds, fails permanently, or has failed for the time of
// within. It writes to out only the lines of the last attempt, and one line whenever the reason for retrying changes.
func Retry(
	ctx context.Context, within, pause time.Duration, attempt func(context.Context, io.Writer) error, out io.Writer,
) error {
	begun, reason := time.Now(), ""
	for {
		var lines bytes.Buffer
		err := attempt(ctx, &lines)
		left := within - time.Since(begun)
		if err == nil || IsPermanent(err) || left <= 0 || ctx.Err() != nil {
			_, wErr := lines.WriteTo(out)
			return errors.Join(err, wErr)
		}
		if first, _, _ := strings.Cut(err.Error(), "\n"); first != reason {
			reason = first
			fmt.Fprintf(out, "not yet, repeated for %s more: %s\n", left.Round(time.Second), reason)
		}
		select {
		case <-ctx.Done():
		case <-time.After(min(pause, left)):
		}
	}
}
