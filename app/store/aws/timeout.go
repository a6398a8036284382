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

// Timeouts of AWS calls. When AWS does not respond, a call fails after at most 3 x idleTimeout + 1.2 s of backoff,
// which is less than its bound. The bound also ends calls to a service that responds, but very slowly.
const (
	// idleTimeout ends an attempt when no byte is sent or received for that time. DynamoDB and SQS respond in
	// milliseconds, S3 in tenths of a second; AWS recommends to retry after 2 s.
	idleTimeout = 2 * time.Second
	// attempts is the number of attempts per call, the SDK's default.
	attempts = 3
	// callBound limits a call including all its attempts, so that a server can answer 503 within 10 s.
	callBound = 8 * time.Second
	// minRate is the rate in bytes per second below which the transfer of an object is aborted.
	minRate = 1 << 20
	// sendBuffer is the size of the socket's send buffer in bytes. It is small, so that reading the body measures
	// progress on the wire: on a slow line, megabytes in the buffer would still be in transit when the idle timeout
	// fires. It allows 250 MB/s within a region and 5 MB/s across an ocean.
	sendBuffer = 256 << 10
	// pollGrace is added to the wait time of a long poll.
	pollGrace = 5 * time.Second
)

// boundFor returns the bound of a call that transfers an object of size bytes.
func boundFor(size int64) time.Duration {
	return callBound + time.Duration(size)*time.Second/minRate
}

// newRetryer returns the SDK's standard retryer, with its choice of retryable errors and its retry quota, which
// protects an overloaded service. The backoff is shorter, full jitter over 0.4 s and then 0.8 s, because the standard
// one of up to 4 s leaves no time for a third attempt within the bound.
func newRetryer() *retry.Standard {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = attempts
		o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
			return rand.N(200 * time.Millisecond << min(attempt, attempts)), nil
		})
	})
}

// call makes one SDK call within the bound.
func call[I, O, P any](ctx context.Context, bound time.Duration,
	operation func(context.Context, *I, ...func(*P)) (*O, error), in *I, with ...func(*P)) (*O, error) {
	return within(ctx, bound, func(ctx context.Context) (*O, error) { return operation(ctx, in, with...) })
}

// within calls f with the bound as its timeout. If the bound ends the call, the returned error is not a context error,
// so that it cannot be mistaken for the end of ctx.
func within[T any](ctx context.Context, bound time.Duration, f func(context.Context) (T, error)) (T, error) {
	bounded, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	v, err := f(bounded)
	if err != nil && ctx.Err() == nil && bounded.Err() != nil {
		err = fmt.Errorf("no complete response within %s: %v", bound, err)
	}
	return v, err
}

// errIdle is the error of an attempt that was ended by the idle timeout.
var errIdle = errors.New("nothing was sent or received for too long")

// idleTimeoutClient returns a client whose requests fail when nothing is sent or received for the given time. It does
// not follow redirects, because a signature is valid for one host only.
func idleTimeoutClient(transport http.RoundTripper, timeout time.Duration) *http.Client {
	return &http.Client{
		Transport:     idleTimeoutTransport{transport, timeout},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// idleTimeoutTransport ends requests that make no progress. A timeout for the whole request would have to allow 20 MiB
// on a slow line, and would detect a dead connection far too late.
type idleTimeoutTransport struct {
	next    http.RoundTripper
	timeout time.Duration
}

// RoundTrip restarts the idle timer when the headers arrive and at each read of the request or response body.
func (t idleTimeoutTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	watchdog := time.AfterFunc(t.timeout, func() { cancel(errIdle) })
	progress := func() { watchdog.Reset(t.timeout) }
	explain := func(err error) error {
		if context.Cause(ctx) == errIdle {
			return errIdle
		}
		return err
	}
	end := func() {
		watchdog.Stop()
		cancel(nil)
	}
	req = req.WithContext(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		req.Body = &progressBody{ReadCloser: req.Body, progress: progress, explain: explain, end: func() {}}
	}
	res, err := t.next.RoundTrip(req)
	if err != nil {
		err = explain(err)
		end()
		return nil, err
	}
	progress()
	res.Body = &progressBody{ReadCloser: res.Body, progress: progress, explain: explain, end: end}
	return res, nil
}

// progressBody calls progress after every read.
type progressBody struct {
	io.ReadCloser
	progress func()
	explain  func(error) error // replaces an error of a read
	end      func()            // called by Close
}

func (b *progressBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.progress()
	if err != nil && err != io.EOF {
		err = b.explain(err)
	}
	return n, err
}

func (b *progressBody) Close() error {
	b.end()
	return b.ReadCloser.Close()
}
