package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"imagery/app/deploy/rollout"
	"imagery/app/deploy/settings"
)

// place is where everything is, under the names of the stack's outputs, which infra's own table holds. Without guards
// AWS still judges instances by their health, but no alarm stops a rollout.
type place struct {
	Region      string              `json:"region"`
	Table       string              `json:"table"`
	ServerGroup string              `json:"serverGroup"`
	WorkerGroup string              `json:"workerGroup"`
	URL         string              `json:"balancerUrl"` // the output url need not be an address
	Guards      map[string][]string `json:"guardAlarms"`
}

// flags are for who has no pulumi here.
func (p *place) flags(f *flag.FlagSet) {
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

// find is the place that the flags name, else that of the stack.
func (p place) find(ctx context.Context, stack string) (place, error) {
	given := 0
	for _, s := range []string{p.Region, p.Table, p.ServerGroup, p.WorkerGroup} {
		if s != "" {
			given++
		}
	}
	// Half a place would be completed from a stack that need not be the same.
	switch {
	case given == 4:
		return p, nil
	case given > 0:
		return place{}, usageError{errors.New("-region, -table, -server-group and -worker-group go together (see -h)")}
	}
	return outputs(ctx, stack)
}

// pulumiBound is how long pulumi may take; it asks its backend over the network.
const pulumiBound = time.Minute

// outputs asks pulumi. The stack's name goes into one argument with its flag, so that a name that begins with a dash is
// no flag of pulumi's.
func outputs(ctx context.Context, stack string) (place, error) {
	ctx, cancel := context.WithTimeout(ctx, pulumiBound)
	defer cancel()
	args := []string{"stack", "output", "--json", "--non-interactive"}
	if stack != "" {
		args = append(args, "--stack="+stack)
	}
	cmd := exec.CommandContext(ctx, "pulumi", args...)
	said := &bytes.Buffer{}
	cmd.Stderr, cmd.WaitDelay = said, time.Second
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return place{}, errors.New("pulumi is not on PATH to ask for the outputs of the stack: install it, or give -region, -table, -server-group and -worker-group")
	} else if err != nil {
		return place{}, fmt.Errorf("ask pulumi for the outputs of the stack: %w: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	var p place
	if err := json.Unmarshal(out, &p); err != nil {
		return place{}, fmt.Errorf("read the outputs of the stack: %w", err)
	}
	if p.Region == "" || p.Table == "" || p.ServerGroup == "" || p.WorkerGroup == "" {
		return place{}, errors.New("the stack has no outputs of imagery: was it ever deployed?")
	}
	return p, nil
}

// groups are those of the place.
func (p place) groups() map[settings.Role]rollout.Group {
	return map[settings.Role]rollout.Group{
		settings.Server: {Name: p.ServerGroup, Guards: p.Guards[string(settings.Server)]},
		settings.Worker: {Name: p.WorkerGroup, Guards: p.Guards[string(settings.Worker)]},
	}
}
