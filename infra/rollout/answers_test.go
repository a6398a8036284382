package rollout_test

import (
	"strings"
	"testing"
	"time"

	"imagery/app/ops/record"
)

// What AWS answers while it is not well says nothing about a release: neither a 5xx nor a throttle, at a look or at the
// start of a refresh.
func TestAWSIsUnwell(t *testing.T) {
	for _, a := range []*answer{{503, "ServiceUnavailable"}, {500, "InternalFailure"}, {400, "RequestTimeout"}, {400, "TooManyRequestsException"}} {
		for _, call := range []string{"DescribeAutoScalingGroups", "StartInstanceRefresh"} {
			t.Run(call+" "+a.code, func(t *testing.T) {
				inWorld(t, func(w *world) {
					w.proven()
					done := make(chan error, 1)
					go func() { _, err := w.up(2); done <- err }()
					w.until("the workers bake", func() bool { return w.said("worker to version 2: Baking") })
					unwell := time.Time{} // from the first call on
					w.setHook(func(c string, _ int) (error, error) {
						if c != call {
							return nil, nil
						}
						if unwell.IsZero() {
							unwell = time.Now()
						}
						if time.Since(unwell) < time.Minute {
							return a, nil
						}
						return nil, nil
					})
					if err := <-done; err != nil {
						t.Error(err)
					}
					if !w.said("AWS cannot be reached, trying again") || !w.said(strings.TrimSuffix(a.code, "Exception")) {
						t.Error("nobody said that AWS is not well")
					}
					w.all(2)
					w.wantEntry(2, record.Successful, "")
				})
			})
		}
	}
}
