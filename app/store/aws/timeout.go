package aws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

// How long AWS is waited for. With nobody there a call ends after at most 3 x silence + 1.2 s of pauses, before
// its bound; the bound is for services that answer drop by drop.
const (
	// silence is how long nothing may move on a connection before the attempt is given up. DynamoDB and SQS
	// answer in milliseconds, S3 in tenths of a second; AWS advises to try again after 2 s.
	silence = 2 * time.Second
	// attempts of one call: the SDK's standard number.
	attempts = 3
	// callBound holds for a call with all its attempts, so that a server can answer 503 within 10 s.
	callBound = 8 * time.Second
	// slowest is the rate in bytes per second below which the transfer of an object is given up although it moves.
	slowest = 1 << 20
	// sendBuffer in bytes is small, so that a body that has been read is nearly on the wire: megabytes left in the
	// system's buffer would still be on their way, on a slow line, when the answer seems to be late. It allows
	// 250 MB/s inside of a region and 5 MB/s across an ocean.
	sendBuffer = 256 << 10
	// pollSlack is how much longer than asked for a long poll may take.
	pollSlack = 5 * time.Second
)

// boundFor is the bound of a call that moves an object of that size.
func boundFor(size int64) time.Duration {
	return callBound + time.Duration(size)*time.Second/slowest
}

// newRetryer is the SDK's standard mode: what it knows to be worth a repetition, until its quota of repetitions
// is used up, which spares a service in trouble. Pauses are ours, since the standard ones of up to 4 s leave
// no room for a third attempt: full jitter over 0.4 s, then 0.8 s.
func newRetryer() *retry.Standard {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = attempts
		o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
			return rand.N(200 * time.Millisecond << min(attempt, attempts)), nil
		})
	})
}

// call makes one SDK call within the bound. When the bound is what ended it, the error does not look like the
// end of the caller's own ctx, which would say something else about who was too slow.
func call[I, O, P any](ctx context.Context, bound time.Duration,
	operation func(context.Context, *I, ...func(*P)) (*O, error), in *I, with ...func(*P)) (*O, error) {
	within, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	out, err := operation(within, in, with...)
	return out, blame(ctx, within, bound, err)
}

// blame replaces an error that came from the bound.
func blame(ctx, within context.Context, bound time.Duration, err error) error {
	if err != nil && ctx.Err() == nil && within.Err() != nil {
		return fmt.Errorf("no whole answer within %s: %v", bound, err)
	}
	return err
}

// errSilence ends an attempt on whose connection nothing moved.
var errSilence = errors.New("nothing was sent or received for too long")

// patientClient makes HTTP requests that end when nothing moves for so long. It follows no redirects, as a
// signature is good for one host.
func patientClient(transport http.RoundTripper, silence time.Duration) *http.Client {
	return &http.Client{
		Transport:     watched{transport, silence},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// watched is a transport that ends a request on which nothing moved for the time of silence. A timeout for
// the whole request would have to allow for 20 MiB on a slow line, and so wait far too long for a dead one.
type watched struct {
	next    http.RoundTripper
	silence time.Duration
}

// RoundTrip counts the connection, each piece of the request's body and each of the answer's as movement.
func (w watched) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	watchdog := time.AfterFunc(w.silence, func() { cancel(errSilence) })
	moved := func() { watchdog.Reset(w.silence) }
	explain := func(err error) error {
		if context.Cause(ctx) == errSilence {
			return errSilence
		}
		return err
	}
	end := func() {
		watchdog.Stop()
		cancel(nil)
	}
	req = req.WithContext(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		req.Body = &movingBody{ReadCloser: req.Body, moved: moved, explain: explain, end: func() {}}
	}
	res, err := w.next.RoundTrip(req)
	if err != nil {
		err = explain(err)
		end()
		return nil, err
	}
	moved()
	res.Body = &movingBody{ReadCloser: res.Body, moved: moved, explain: explain, end: end}
	return res, nil
}

// movingBody reports the movement of a body.
type movingBody struct {
	io.ReadCloser
	moved   func()
	explain func(error) error
	end     func()
}

func (b *movingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.moved()
	if err != nil && err != io.EOF {
		err = b.explain(err)
	}
	return n, err
}

func (b *movingBody) Close() error {
	b.end()
	return b.ReadCloser.Close()
}
