package rollout_test

import (
	"context"
	"testing"

	"imagery/app/deploy/rollout"
	"imagery/infra/testing/asgsim"
)

// What a group is at must be something that AWS can roll back to, or nothing is touched: a number, that exists, with an
// image that is named. The message says what to call.
func TestWhatCannotBeReturnedTo(t *testing.T) {
	at := func(version string) func(*world) {
		return func(w *world) {
			if err := w.sim.Update("server", asgsim.Change{Version: version}); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		change func(*world)
		why    string
	}{
		"the latest":  {at("$Latest"), `group server has version "$Latest", which is not a number`},
		"the default": {at("$Default"), `group server has version "$Default", which is not a number`},
		"none": {func(w *world) { w.sim.SetTemplate("lt-server", templates(1, 2)[1:]...) },
			"group server has version 1 of launch template lt-server, which does not exist any more"},
		"a parameter": {func(w *world) {
			all := templates(1, 2)
			all[0].Image = "resolve:ssm:/x"
			w.sim.SetTemplate("lt-server", all...)
		}, `version 1 of launch template lt-server, which group server has, has the image "resolve:ssm:/x"`},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.nothing()
				w.proven()
				c.change(w)
				w.setHook(func(call string, _ int) (error, error) {
					if acts(call) {
						t.Errorf("it made a call to %s", call)
					}
					return nil, nil
				})
				_, err := w.up(2)
				refused(t, err, c.why)
				refused(t, err, "Nothing was changed")
				refused(t, err, "--auto-scaling-group-name server --launch-template LaunchTemplateId=lt-server,Version=N")
				if len(w.record().Entries) != 1 {
					t.Error("a rollout was begun")
				}
				if _, err := rollout.Status(context.Background(), w.options()); err != nil {
					t.Error("who wants to look:", err)
				}
			})
		})
	}
}
