package rollout_test

import (
	"strings"
	"testing"
	"time"

	"imagery/app/deploy/record"
	"imagery/app/deploy/rollout"
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
					if !w.said("AWS cannot be reached, retrying") || !w.said(strings.TrimSuffix(a.code, "Exception")) {
						t.Error("nobody said that AWS is not well")
					}
					w.all(2)
					w.wantEntry(2, record.Successful, "")
				})
			})
		}
	}
}

// That AWS refuses to begin, for want of a right or above a limit, says nothing about the release: both groups end with
// the old one, and when AWS may, the release comes without force.
func TestAWSRefusesToBegin(t *testing.T) {
	for _, a := range []*answer{{403, "AccessDenied"}, {403, "ExpiredToken"}, {400, "LimitExceeded"}} {
		for _, nth := range []int{1, 2} { // of the workers, and of the servers when the workers are through
			inWorld(t, func(w *world) {
				w.proven()
				starts := 0
				w.setHook(func(call string, _ int) (error, error) {
					if call != "StartInstanceRefresh" {
						return nil, nil
					}
					if starts++; starts == nth {
						return a, nil
					}
					return nil, nil
				})
				_, err := w.up(2)
				e := judged(t, err, "both groups run "+release(1)[:12]+" again", "AWS refused to refresh the "+string(rollout.Order[nth-1])+"s")
				if !strings.Contains(e.Outcome, "without a verdict and may be rolled out again") || !strings.Contains(e.Reason, a.code) {
					t.Errorf("%v", e)
				}
				w.all(1)
				w.wantEntry(2, record.Inconclusive, a.code)
				if _, err := w.up(2); err != nil {
					t.Error(err)
				}
				w.all(2)
			})
		}
	}
}

// A way back that AWS refuses is still to be gone, by whoever has the right.
func TestAWSRefusesTheWayBack(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		w.fates[key(server, 2)] = always(dead())
		w.setHook(func(call string, _ int) (error, error) {
			if e := w.record().Entries[0]; call == "StartInstanceRefresh" && e.Result == record.RollingBack {
				return &answer{403, "AccessDenied"}, nil
			}
			return nil, nil
		})
		if _, err := w.up(2); err == nil || !strings.Contains(err.Error(), "stopped before the end") || !strings.Contains(err.Error(), "AccessDenied") {
			t.Error(err)
		}
		w.setHook(nil)
		_, err := w.up(2)
		judged(t, err, "both groups run", "new servers failed")
		w.all(1)
		w.wantEntry(2, record.RolledBack, "new servers failed")
	})
}
