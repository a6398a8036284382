package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"imagery/app/client"
	"imagery/infra/testing/traffic"
)

// test is the state of a run.
type test struct {
	cli
	opts     options
	side     side
	out      io.Writer
	begun    time.Time
	commit   string // of the checkout
	aws      aws.Config
	pictures pictures
	before   inventory // of the account
	current  outputs   // of the last up
	artifact string    // path of the binary that the next up deploys; empty: the one that it builds
	service  *client.Client
	load     *traffic.Load // nil until the first up
	stopped  bool
	answered [][2]string // questions about AWS, and their answers

	mu      sync.Mutex
	photos  map[string]picture // accepted from scenes, not checked yet
	checked int                // photos of the load that were checked
}

// T is the test as one scene sees it.
type T struct {
	*test
	scene   string
	begun   time.Time
	figures []string
	spoils  bool // the scene expects that photos are processed wrongly
}

// newTest prepares a run. It reads the checkout in the current folder.
func newTest(ctx context.Context, o options, s side, work string, out io.Writer) (*test, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	t := &test{opts: o, side: s, out: out, begun: time.Now(), photos: map[string]picture{}}
	t.stack, t.checkout, t.work = o.stack, dir, work
	if t.commit, err = t.revision(ctx); err != nil {
		return nil, err
	}
	if t.pictures, err = readPictures(dir); err != nil {
		return nil, err
	}
	if t.aws, err = config.LoadDefaultConfig(ctx); err != nil {
		return nil, fmt.Errorf("read the settings of the AWS SDK: %w", err)
	}
	if s.caller != nil {
		t.aws.Credentials, t.operator = s.caller, []string{"AWS_ACCESS_KEY_ID=" + administrator}
	}
	return t, nil
}

// settings returns those of the stack: the side's, then those of --config, which win.
func (t *test) settings() [][2]string {
	all := slices.Clone(t.side.settings)
	for _, kv := range t.opts.config {
		key, value, _ := strings.Cut(kv, "=")
		all = append(all, [2]string{key, value})
	}
	return all
}

// setting returns the value of a key of the stack, or "": the run's, or the one in the user's own configuration file.
func (t *test) setting(ctx context.Context, key string) (value string, err error) {
	for _, kv := range t.settings() {
		if strings.EqualFold(kv[0], key) {
			value = kv[1]
		}
	}
	if value == "" {
		value, err = t.read(ctx, "config", "get", key, "--config-file", t.configuration())
	}
	if err != nil && strings.Contains(err.Error(), "not found") {
		err = nil
	}
	return strings.TrimSpace(value), err
}

// logf prints a line about an event.
func (t *test) logf(format string, args ...any) {
	fmt.Fprintf(t.out, "%7.1f s  %s\n", time.Since(t.begun).Seconds(), fmt.Sprintf(format, args...))
}

// figure prints a line and adds it to the scene's row of the report.
func (t *T) figure(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	t.figures = append(t.figures, text)
	t.logf("%s: %s", t.scene, text)
}

// Rate of the steady client: below what makes a stack of two servers scale out.
const steadyPerSecond = 10

// serve notes the outputs of the stack after an up, and starts the steady client if it does not run yet.
func (t *test) serve(ctx context.Context) (err error) {
	if t.current, _, err = t.outputs(ctx); err != nil {
		return err
	}
	u, err := url.Parse(t.current.URL)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return fmt.Errorf("the output url is no address without TLS: %q", t.current.URL)
	}
	if t.load != nil {
		return nil
	}
	t.service = client.New(t.current.URL)
	t.service.Retry = time.Second
	address := u.Host
	if u.Port() == "" {
		address += ":80"
	}
	t.load = &traffic.Load{Address: address, Photo: t.pictures.steady.data, NewID: newID, PerSecond: steadyPerSecond}
	t.load.Start()
	return nil
}

// accepted makes the run check a photo of a scene's own when the scene ends.
func (t *T) accepted(id string, p picture) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.photos[id] = p
}

// pending returns the accepted photos that were not checked yet. They count as checked afterwards.
func (t *test) pending() map[string]picture {
	t.mu.Lock()
	defer t.mu.Unlock()
	photos := t.photos
	t.photos = map[string]picture{}
	if t.load != nil {
		all := t.load.Accepted()
		for _, id := range all[t.checked:] {
			photos[id] = t.pictures.steady
		}
		t.checked = len(all)
	}
	return photos
}

// processTimeout limits the wait for accepted photos at the end of a scene: a message whose worker died comes back
// after the visibility timeout, more than once if one scene kills more than one.
const processTimeout = 10 * time.Minute

// remarkable limits the wait for photos after a scene without a remark in the report: a message that a worker has
// received and not processed comes back after its visibility timeout.
const remarkable = 10 * time.Second

// shown is the number of photos that an error names.
const shown = 5

func (t *test) observe(ctx context.Context, of *T) (seen observed, err error) {
	if t.load == nil {
		return seen, nil
	}
	photos := t.pending()
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), processTimeout)
	defer cancel()
	begun := time.Now()
	errs := checkAll(limited, t.service, photos)
	if d := time.Since(begun); d > remarkable {
		of.figure("the last photo came back %.0f s after the scene", d.Seconds())
	}
	seen.failed, seen.requests = t.failures(of.begun)
	seen.accepted = len(photos)
	var bad []error
	for _, e := range errs {
		if wrong := (*wrongError)(nil); errors.As(e, &wrong) {
			seen.wrong++
			if of.spoils {
				continue
			}
		} else {
			seen.lost++
		}
		bad = append(bad, e)
	}
	if n := len(bad); n > shown {
		bad = append(bad[:shown], fmt.Errorf("and %d more photos", n-shown))
	}
	if seen.wrong > 0 {
		of.figure("%d photos were processed wrongly", seen.wrong)
	}
	return seen, errors.Join(bad...)
}

// finish stops the steady client and checks the photos that it leaves, before the stack is removed.
func (t *T) finish(ctx context.Context) error {
	if t.load == nil || t.stopped {
		return nil
	}
	t.stopped = true
	t.load.Stop()
	return errors.Join(checkAll(ctx, t.service, t.pending())...)
}

// sayEvery is the interval at which the reason for waiting is printed.
const sayEvery = 15 * time.Second

// until calls ready until it reports true, for at most a time in which AWS does this; see side.scaled. An error of
// ready is not final.
func (t *T) until(
	ctx context.Context, what string, aws time.Duration, ready func(context.Context) (bool, error),
) error {
	limit := t.side.scaled(aws)
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last error
	said := begun
	for {
		ok, err := ready(ctx)
		if ok && err == nil {
			t.logf("%s: %s after %.1f s", t.scene, what, time.Since(begun).Seconds())
			return nil
		}
		if err != nil && ctx.Err() == nil {
			if last = err; time.Since(said) > sayEvery {
				said = time.Now()
				t.logf("%s: waiting, %v", t.scene, err)
			}
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s: not within %s", what, limit), last)
		case <-time.After(time.Second):
		}
	}
}

// failures counts the requests of the steady client since a time, and those of them that failed.
func (t *test) failures(since time.Time) (failed, all int) {
	reqs := t.load.Since(since)
	all = len(reqs)
	return len(slices.DeleteFunc(reqs, traffic.Request.OK)), all
}

// unharmed returns an error if a request of the steady client failed since the scene began.
func (t *T) unharmed() error {
	reqs := t.load.Since(t.begun)
	bad := slices.DeleteFunc(slices.Clone(reqs), traffic.Request.OK)
	if len(reqs) == 0 {
		return errors.New("the steady client sent nothing")
	}
	if len(bad) > 0 {
		return fmt.Errorf("%d of %d requests failed, the first: %+v", len(bad), len(reqs), bad[0])
	}
	return nil
}

// usable returns why the stack cannot serve.
func (t *test) usable(ctx context.Context) error {
	if t.service == nil {
		return errors.New("the stack has no URL")
	}
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if _, err := t.service.Expect(limited, "GET", "/readyz", nil, nil, 200); err != nil {
		return fmt.Errorf("the service is not ready: %w", err)
	}
	return nil
}

// sorted returns the keys of a map in order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
