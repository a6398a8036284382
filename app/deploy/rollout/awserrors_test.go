package rollout_test

import (
	"strings"
	"testing"
	"time"

	"imagery/app/deploy/record"
	"imagery/app/deploy/rollout"
)

// Neither a 5xx nor a throttled call, of a read or of the start of a refresh, fails a release.
func TestTransientAWSErrorsAreTolerated(t *testing.T) {
	t.Parallel()
	for _, transient := range []*awsError{
		{503, "ServiceUnavailable"}, {500, "InternalFailure"}, {400, "RequestTimeout"}, {400, "TooManyRequestsException"},
	} {
		for _, call := range []string{"DescribeAutoScalingGroups", "StartInstanceRefresh"} {
			t.Run(call+" "+transient.code, func(t *testing.T) {
				t.Parallel()
				simulate(t, func(env *testEnv) {
					env.deployFirst()
					done := env.upAsync(2)
					env.waitFor("the workers bake", func() bool { return env.logged("worker to version 2: Baking") })
					begun := time.Time{} // at the first call
					env.setHook(func(c string, _ int) (error, error) {
						if c != call {
							return nil, nil
						}
						if begun.IsZero() {
							begun = time.Now()
						}
						if time.Since(begun) < time.Minute {
							return transient, nil
						}
						return nil, nil
					})
					if err := <-done; err != nil {
						t.Error(err)
					}
					code := strings.TrimSuffix(transient.code, "Exception")
					if !env.logged("AWS cannot be reached, retrying") || !env.logged(code) {
						t.Error("the error is not logged")
					}
					env.wantRunning(2)
					env.wantEntry(2, record.Successful, "")
				})
			})
		}
	}
}

// A refresh that AWS does not start, because of a missing permission or a quota, does not judge the release: both
// groups end with the old one, and the new one may be rolled out later without force.
func TestAWSDoesNotStartTheRefresh(t *testing.T) {
	t.Parallel()
	for _, a := range []*awsError{{403, "AccessDenied"}, {403, "ExpiredToken"}, {400, "LimitExceeded"}} {
		for _, nth := range []int{1, 2} { // of the workers, and of the servers after the workers succeeded
			simulate(t, func(env *testEnv) {
				env.deployFirst()
				starts := 0
				env.setHook(func(call string, _ int) (error, error) {
					if call != "StartInstanceRefresh" {
						return nil, nil
					}
					if starts++; starts == nth {
						return a, nil
					}
					return nil, nil
				})
				_, err := env.up(2)
				e := wantFailure(t, err, "both groups run "+release(1)[:12]+" again",
					"AWS did not start the refresh of the "+string(rollout.Order[nth-1])+"s")
				if !strings.Contains(e.Outcome, "without a verdict and may be rolled out again") ||
					!strings.Contains(e.Reason, a.code) {
					t.Errorf("%v", e)
				}
				env.wantRunning(1)
				env.wantEntry(2, record.Inconclusive, a.code)
				env.deploy(2)
			})
		}
	}
}

// A rollback that AWS does not start is completed by the next run that has the permission.
func TestAWSDoesNotStartTheRollback(t *testing.T) {
	t.Parallel()
	simulate(t, func(env *testEnv) {
		env.deployFirst()
		env.scripts[key(server, 2)] = always(failedBoot())
		env.setHook(func(call string, _ int) (error, error) {
			if e := env.record().Entries[0]; call == "StartInstanceRefresh" && e.Result == record.RollingBack {
				return &awsError{403, "AccessDenied"}, nil
			}
			return nil, nil
		})
		_, err := env.up(2)
		if err == nil || !strings.Contains(err.Error(), "stopped before the end") ||
			!strings.Contains(err.Error(), "AccessDenied") {
			t.Error(err)
		}
		env.setHook(nil)
		_, err = env.up(2)
		wantFailure(t, err, "both groups run", "new servers failed")
		env.wantRunning(1)
		env.wantEntry(2, record.RolledBack, "new servers failed")
	})
}
