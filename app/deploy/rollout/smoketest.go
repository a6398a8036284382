package rollout

import (
	"context"
)

// smokeTest runs Options.Smoke once, in the background.
type smokeTest struct {
	try func(ctx context.Context, release string) (warning string, err error) // nil: no smoke test
	*progress
	cancel context.CancelFunc // nil: not started
	done   chan struct{}      // closed when err is set
	err    error
}

// start starts the test unless it has been started. The caller must call stop.
func (s *smokeTest) start(ctx context.Context, release string) {
	if s.try == nil || s.cancel != nil {
		return
	}
	s.log("smoke: using the service as a client does")
	ctx, s.cancel = context.WithCancel(ctx)
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		warning, err := s.try(ctx, release)
		if warning != "" {
			s.log("smoke: WARNING: %s", warning)
		}
		s.err = err
	}()
}

// running reports whether the test has been started and has not ended.
func (s *smokeTest) running() bool {
	if s.cancel == nil {
		return false
	}
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// failure returns a *failure if the test has ended with an error.
func (s *smokeTest) failure() error {
	if s.cancel == nil || s.running() || s.err == nil {
		return nil
	}
	return &failure{reason: "the smoke test failed: " + s.err.Error()}
}

// stop cancels the test if it is running, and waits for its end.
func (s *smokeTest) stop() {
	if s.cancel != nil {
		s.cancel()
		<-s.done
	}
}
