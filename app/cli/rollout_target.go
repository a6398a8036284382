package cli

import (
	"context"
	"errors"
	"flag"
	"strings"

	"imagery/app/deploy/rollout"
	"imagery/app/deploy/settings"
)

// rolloutTarget names the resources of one stack. Without guards AWS still judges instances by their health, but no
// alarm stops a rollout.
type rolloutTarget struct {
	Region, Table, ServerGroup, WorkerGroup string
	URL                                     string              // of the load balancer; empty: no smoke test
	Guards                                  map[string][]string // names of alarms by role
}

// flags defines the flags that replace the outputs of a stack where there is no pulumi program.
func (p *rolloutTarget) flags(f *flag.FlagSet) {
	f.StringVar(&p.Region, "region", "", "AWS `region`, without -stack")
	f.StringVar(&p.Table, "table", "", "the `table` of images, without -stack")
	f.StringVar(&p.ServerGroup, "server-group", "", "Auto Scaling `group` of the servers, without -stack")
	f.StringVar(&p.WorkerGroup, "worker-group", "", "Auto Scaling `group` of the workers, without -stack")
	f.StringVar(&p.URL, "url", "", "`address` of the service, for the smoke, without -stack; empty: no smoke")
	p.Guards = map[string][]string{}
	for _, role := range rollout.Order {
		f.Func(string(role)+"-guards", "`alarms` that judge a release of the "+string(role)+"s, with commas, without -stack", func(s string) error {
			p.Guards[string(role)] = strings.Split(s, ",")
			return nil
		})
	}
}

// find returns the target that the flags name, else that of the Pulumi stack; an empty stack is the selected one.
func (p rolloutTarget) find(ctx context.Context, stack string) (rolloutTarget, error) {
	given := 0
	for _, s := range []string{p.Region, p.Table, p.ServerGroup, p.WorkerGroup} {
		if s != "" {
			given++
		}
	}
	// The rest must not come from a stack, which may be another one.
	switch {
	case given == 4:
		return p, nil
	case given > 0:
		return rolloutTarget{}, usage("-region, -table, -server-group and -worker-group go together: give all four, or -stack")
	}
	o, err := queryOutputs(ctx, "read the outputs of the stack", "-region, -table, -server-group and -worker-group", stack)
	if err != nil {
		return rolloutTarget{}, err
	}
	if o.Region == "" || o.Table == "" || o.ServerGroup == "" || o.WorkerGroup == "" {
		return rolloutTarget{}, errors.New("the stack has no outputs of imagery: was it ever deployed?")
	}
	return rolloutTarget{
		Region: o.Region, Table: o.Table, ServerGroup: o.ServerGroup, WorkerGroup: o.WorkerGroup, URL: o.BalancerURL, Guards: o.GuardAlarms,
	}, nil
}

// groups returns both Auto Scaling groups by role.
func (p rolloutTarget) groups() map[settings.Role]rollout.Group {
	return map[settings.Role]rollout.Group{
		settings.Server: {Name: p.ServerGroup, Alarms: p.Guards[string(settings.Server)]},
		settings.Worker: {Name: p.WorkerGroup, Alarms: p.Guards[string(settings.Worker)]},
	}
}
