package cli

import (
	"context"
	"errors"
	"flag"
	"strings"

	"imagery/app/deploy/rollout"
	"imagery/app/deploy/settings"
)

// rolloutTarget names the resources of one stack. Without guards no alarm stops a rollout; the health checks of AWS
// still do.
type rolloutTarget struct {
	Region, Table, ServerGroup, WorkerGroup string
	URL                                     string              // of the load balancer; empty: no smoke test
	Guards                                  map[string][]string // names of alarms by role
}

const rolloutFlags = "--region, --table, --server-group and --worker-group"

// flags defines the flags that replace the outputs of a stack on a machine without the pulumi program.
func (t *rolloutTarget) flags(fs *flag.FlagSet) {
	fs.StringVar(&t.Region, "region", "", "AWS `region`, without --stack")
	fs.StringVar(&t.Table, "table", "", "the `table` of images, without --stack")
	fs.StringVar(&t.ServerGroup, "server-group", "", "Auto Scaling `group` of the servers, without --stack")
	fs.StringVar(&t.WorkerGroup, "worker-group", "", "Auto Scaling `group` of the workers, without --stack")
	fs.StringVar(&t.URL, "url", "", "`address` of the service, for the smoke test, without --stack; empty: no smoke test")
	t.Guards = map[string][]string{}
	for _, role := range rollout.Order {
		about := "`alarms` that judge a release of the " + string(role) + "s, separated by commas, without --stack"
		fs.Func(string(role)+"-guards", about, func(s string) error {
			t.Guards[string(role)] = strings.Split(s, ",")
			return nil
		})
	}
}

// resolve returns the target that the flags name, else that of the Pulumi stack; an empty stack is the selected one.
// The flags name all resources or none, since the outputs may be those of another stack.
func (t rolloutTarget) resolve(ctx context.Context, stack string) (rolloutTarget, error) {
	given := 0
	for _, s := range []string{t.Region, t.Table, t.ServerGroup, t.WorkerGroup} {
		if s != "" {
			given++
		}
	}
	switch {
	case given == 4:
		return t, nil
	case given > 0:
		return rolloutTarget{}, usage("%s go together: give all four, or --stack", rolloutFlags)
	}
	o, err := readOutputs(ctx, "read the outputs of the stack", rolloutFlags, stack)
	if err != nil {
		return rolloutTarget{}, err
	}
	if o.Region == "" || o.Table == "" || o.ServerGroup == "" || o.WorkerGroup == "" {
		return rolloutTarget{}, errors.New("the stack has no outputs of imagery: was it ever deployed? Run pulumi up")
	}
	return rolloutTarget{Region: o.Region, Table: o.Table, ServerGroup: o.ServerGroup, WorkerGroup: o.WorkerGroup,
		URL: o.BalancerURL, Guards: o.GuardAlarms}, nil
}

// groups returns both Auto Scaling groups by role.
func (t rolloutTarget) groups() map[settings.Role]rollout.Group {
	return map[settings.Role]rollout.Group{
		settings.Server: {Name: t.ServerGroup, Alarms: t.Guards[string(settings.Server)]},
		settings.Worker: {Name: t.WorkerGroup, Alarms: t.Guards[string(settings.Worker)]},
	}
}
