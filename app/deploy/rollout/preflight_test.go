package rollout_test

import (
	"context"
	"testing"

	"imagery/app/deploy/rollout"
	"imagery/infra/testing/asgsim"
)

// A rollout begins only if AWS could roll the groups back to their current versions: each version has a number, exists,
// and has an image id. The error names the command that repairs the group.
func TestVersionsThatAWSCannotRollBackTo(t *testing.T) {
	t.Parallel()
	at := func(version string) func(*testEnv) {
		return func(env *testEnv) {
			if err := env.sim.Update("server", asgsim.Change{Version: version}); err != nil {
				env.t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		change func(*testEnv)
		why    string
	}{
		"latest version":  {at("$Latest"), `group server has version "$Latest", which is not a number`},
		"default version": {at("$Default"), `group server has version "$Default", which is not a number`},
		"missing version": {func(env *testEnv) { env.sim.SetTemplate("lt-server", templates(1, 2)[1:]...) },
			"group server has version 1 of launch template lt-server, which does not exist any more"},
		"image from a parameter": {func(env *testEnv) {
			all := templates(1, 2)
			all[0].Image = "resolve:ssm:/x"
			env.sim.SetTemplate("lt-server", all...)
		}, `version 1 of launch template lt-server, which group server has, has the image "resolve:ssm:/x"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, func(env *testEnv) {
				env.expectNoRefresh()
				env.deployFirst()
				c.change(env)
				env.forbidChanges()
				_, err := env.up(2)
				wantRejected(t, err, c.why)
				wantRejected(t, err, "Nothing was changed")
				wantRejected(t, err, "--auto-scaling-group-name server --launch-template LaunchTemplateId=lt-server,Version=N")
				if len(env.record().Entries) != 1 {
					t.Error("a rollout was begun")
				}
				if _, err := rollout.Status(context.Background(), env.options()); err != nil {
					t.Error("status:", err)
				}
			})
		})
	}
}
