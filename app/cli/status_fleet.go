package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	scaling "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	balancing "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"imagery/app/client"
	"imagery/app/deploy/settings"
	"imagery/app/store/local"
)

// roles are the roles of a fleet in the order of the output.
var roles = []string{string(settings.Server), string(settings.Worker)}

// groups reads the Auto Scaling groups of the stack, their instances, and the health that the load balancer reports.
func (s statusSource) groups(ctx context.Context, f *fleetSection) error {
	if s.Stack == noStack {
		return errStackNotNamed
	}
	prefix := settings.AlarmPrefix(s.Stack) // of all names of a stack
	names := map[string]string{string(settings.Server): cmp.Or(s.out.ServerGroup, prefix+string(settings.Server)),
		string(settings.Worker): cmp.Or(s.out.WorkerGroup, prefix+string(settings.Worker))}
	out, err := autoscaling.NewFromConfig(s.cfg).DescribeAutoScalingGroups(ctx,
		&autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: slices.Collect(maps.Values(names))})
	if err != nil {
		return fmt.Errorf("describe the groups: %w", err)
	}
	for _, role := range roles {
		g, members := group{Role: role, Name: names[role], Problem: "there is no group " + names[role]}, []member{}
		for _, found := range out.AutoScalingGroups {
			if aws.ToString(found.AutoScalingGroupName) == g.Name {
				g.Desired = int(aws.ToInt32(found.DesiredCapacity))
				g.Min, g.Max = int(aws.ToInt32(found.MinSize)), int(aws.ToInt32(found.MaxSize))
				members, g.Problem = s.members(ctx, role, found)
			}
		}
		f.add(g, members)
	}
	if len(out.AutoScalingGroups) == 0 {
		return fmt.Errorf("there is no group %s or %s in %s: check the name and the region",
			f.Groups[0].Name, f.Groups[1].Name, s.cfg.Region)
	}
	return nil
}

// members returns the instances of one group. Problem says why the load balancer could not be read.
func (s statusSource) members(ctx context.Context, role string, g scaling.AutoScalingGroup) (
	list []member, problem string) {
	health := map[string]balancing.TargetHealth{}
	for _, arn := range g.TargetGroupARNs {
		out, err := elb.NewFromConfig(s.cfg).DescribeTargetHealth(ctx,
			&elb.DescribeTargetHealthInput{TargetGroupArn: &arn})
		if err != nil {
			problem = errorText(fmt.Errorf("describe the targets of the load balancer: %w", err))
			continue
		}
		for _, t := range out.TargetHealthDescriptions {
			if t.Target != nil && t.TargetHealth != nil {
				health[aws.ToString(t.Target.Id)] = *t.TargetHealth
			}
		}
	}
	for _, i := range g.Instances {
		m := member{Name: aws.ToString(i.InstanceId), Role: role, State: string(i.LifecycleState),
			Zone: aws.ToString(i.AvailabilityZone)}
		if i.LaunchTemplate != nil {
			m.Version = aws.ToString(i.LaunchTemplate.Version)
		}
		if i.LifecycleState == scaling.LifecycleStateInService {
			m.State, m.Detail = healthOf(i, g, health, problem != "")
		}
		list = append(list, m)
	}
	return list, problem
}

// healthOf returns the state of an instance that is in service in its group: that of the load balancer if the group has
// one. Unread is set if the load balancer could not be read.
func healthOf(i scaling.Instance, g scaling.AutoScalingGroup, health map[string]balancing.TargetHealth, unread bool) (
	state, detail string) {
	h, known := health[aws.ToString(i.InstanceId)]
	group := aws.ToString(i.HealthStatus)
	switch {
	case group != "" && !strings.EqualFold(group, "healthy"):
		return strings.ToLower(group), "its group replaces it"
	case len(g.TargetGroupARNs) == 0 || h.State == balancing.TargetHealthStateEnumHealthy && !unread:
		return ready, ""
	case unread:
		return healthUnknown, ""
	case !known:
		return "no target", "it is not registered with the load balancer"
	}
	return string(h.State), strings.Trim(string(h.Reason)+": "+aws.ToString(h.Description), ": ")
}

// processes reads the processes of the fleet that runs on the data folder.
func (s statusSource) processes(ctx context.Context, f *fleetSection) error {
	noFleet := errors.New("no fleet runs on this folder; start it: imagery --data " + s.Data)
	name := filepath.Join(s.Data, local.FleetFile)
	file, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return noFleet
	}
	if err != nil {
		return err
	}
	f.URL, _, _ = strings.Cut(strings.TrimSpace(string(file)), " ") // the process id follows
	state, err := readFleet(ctx, f.URL)
	if err != nil {
		return fmt.Errorf("the fleet in %s does not answer: %w", name, err)
	}
	if !sameFolder(state.Data, s.Data) { // the file is of a killed fleet, and another fleet has the port now
		return noFleet
	}
	for _, role := range roles {
		var members []member
		for _, p := range state.Processes {
			if p.Role != role {
				continue
			}
			switch p.member.Uptime, p.State = p.Uptime, "not ready"; {
			case p.PID == 0:
				p.State = "down"
			case p.Ready:
				p.State = ready
			}
			members = append(members, p.member)
		}
		f.add(group{Role: role, Desired: len(members)}, members)
	}
	return nil
}

func sameFolder(a, b string) bool {
	one, errOne := os.Stat(a)
	other, errOther := os.Stat(b)
	return errOne == nil && errOther == nil && os.SameFile(one, other)
}

// fleetState is the answer of /_fleet.json.
type fleetState struct {
	Data      string
	Processes []struct {
		member
		Uptime int64 // s
		Ready  bool
	}
}

// fleetTimeout is longer than a fleet waits for a process that hangs.
const fleetTimeout = 5 * time.Second

func readFleet(ctx context.Context, url string) (s fleetState, err error) {
	ctx, cancel := context.WithTimeout(ctx, fleetTimeout)
	defer cancel()
	c := client.New(url)
	c.MaxBody = 1 << 20
	res, err := c.Expect(ctx, http.MethodGet, "/_fleet.json", nil, nil, http.StatusOK)
	if err == nil {
		err = json.Unmarshal(res.Body, &s)
	}
	return s, err
}
