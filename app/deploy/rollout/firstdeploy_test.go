package rollout_test

import (
	"testing"
	"time"

	"imagery/app/deploy/record"
	"imagery/app/deploy/rollout"
	"imagery/app/deploy/settings"
)

// The first deploy replaces nothing: it proves that the version that the groups were created with works.
func TestFirstDeploy(t *testing.T) {
	t.Parallel()
	simulateEmpty(t, func(env *testEnv) {
		env.createGroups()
		var smoked []string
		_, err := env.up(1, func(o *rollout.Options) { o.Smoke = smokeTest(&smoked, time.Minute, nil) })
		if err != nil {
			t.Fatal(err)
		}
		env.wantRunning(1)
		if e := env.wantEntry(1, record.Successful, ""); e.From != "" || len(e.Old) > 0 || len(smoked) != 1 {
			t.Errorf("%+v, smoke tests of %v", e, smoked)
		}
	})
}

// A first deploy that fails has nothing to roll back to. Its instances are left for an operator to inspect.
func TestFirstDeployFails(t *testing.T) {
	t.Parallel()
	for _, role := range []settings.Role{worker, server} {
		simulateEmpty(t, func(env *testEnv) {
			env.scripts[key(role, 1)] = always(failedBoot())
			env.createGroups()
			_, err := env.up(1)
			e := wantFailure(t, err, "there is none to roll back to; its instances are left as they are",
				"2 new "+string(role)+"s failed")
			if e.Instance == "" || len(e.Lines) == 0 {
				t.Errorf("%+v", e)
			}
			env.wantEntry(1, record.Failed, "new ")
			// The same release may be tried again: the cause may have been outside of it.
			_, err = env.up(1)
			wantFailure(t, err, "there is none to roll back to", "new "+string(role)+"s failed")
			// The next release needs no refresh, since no instance must be kept.
			env.deploy(2)
			env.deploy(2)
		})
	}
}

// Servers that boot but fail the health checks of the load balancer fail a first deploy.
func TestFirstDeployIsUnhealthy(t *testing.T) {
	t.Parallel()
	simulateEmpty(t, func(env *testEnv) {
		env.scripts[key(server, 1)] = always(unhealthy())
		env.createGroups()
		_, err := env.up(1)
		wantFailure(t, err, "there is none to roll back to", "it was in service and is unhealthy")
		env.deploy(2)
	})
}
