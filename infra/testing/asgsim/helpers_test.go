package asgsim_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/smithy-go"

	"imagery/infra/testing/asgsim"
)

// inProcess passes requests to a handler without a network, so that they work in a synctest bubble.
type inProcess struct{ http.Handler }

func (h inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

type cloud struct {
	t      *testing.T
	sim    *asgsim.Simulator
	memory *asgsim.Memory
	as     *autoscaling.Client
	elb    *elasticloadbalancingv2.Client
	cfg    aws.Config
	guard  *asgsim.Guard
}

// inBubble runs a test in virtual time with a group of two instances, of four at most.
func inBubble(t *testing.T, script func(asgsim.Machine) asgsim.Script, test func(*cloud)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := &asgsim.Memory{Script: script}
		guard := &asgsim.Guard{Report: func(s string) { t.Error(s) }}
		m.Simulator = asgsim.New(asgsim.Options{Driver: m, Log: t.Logf, Observe: guard.Observe})
		defer m.Simulator.Close()
		cfg := aws.Config{Region: "eu-central-1", BaseEndpoint: aws.String("http://simulator"),
			Retryer:     func() aws.Retryer { return aws.NopRetryer{} },
			Credentials: credentials.NewStaticCredentialsProvider("x", "y", ""),
			HTTPClient:  &http.Client{Transport: inProcess{m.Simulator.Handler()}}}
		c := &cloud{t, m.Simulator, m, autoscaling.NewFromConfig(cfg), elasticloadbalancingv2.NewFromConfig(cfg), cfg, guard}
		m.Simulator.Create(asgsim.Group{
			Name: name, Min: 2, Max: 4, Template: "lt-1", Version: "1", Zones: []string{"a", "b"}, TargetGroup: targets,
			ELB:   true,
			Grace: 90 * time.Second, DrainDelay: 90 * time.Second, MinHealthy: 100, MaxHealthy: 150,
			Hooks: []asgsim.Hook{{Name: "launch", Transition: asgsim.Launching, DefaultResult: asgsim.Abandon,
				Timeout: 900 * time.Second},
				{Name: "terminate", Transition: asgsim.Terminating, DefaultResult: asgsim.Continue, Timeout: 150 * time.Second}},
		})
		test(c)
	})
}

func good(asgsim.Machine) asgsim.Script {
	return asgsim.Script{Boot: 40 * time.Second, Answer: asgsim.Continue, Checks: 20 * time.Second,
		Drain: 10 * time.Second}
}

// failsBoot gives the boot up.
func failsBoot() asgsim.Script {
	return asgsim.Script{Boot: 30 * time.Second, Answer: asgsim.Abandon, Console: "IMAGERY BOOT FAILED: bad hash\n"}
}

// byVersion gives machines of version 2 another script.
func byVersion(f asgsim.Script) func(asgsim.Machine) asgsim.Script {
	return func(m asgsim.Machine) asgsim.Script {
		if m.Version == "2" {
			return f
		}
		return good(m)
	}
}

func (c *cloud) group() types.AutoScalingGroup {
	c.t.Helper()
	out, err := c.as.DescribeAutoScalingGroups(context.Background(),
		&autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{name}})
	if err != nil || len(out.AutoScalingGroups) != 1 {
		c.t.Fatalf("%+v, %v", out, err)
	}
	return out.AutoScalingGroups[0]
}

// in lists the instances in a state.
func (c *cloud) in(state types.LifecycleState) []types.Instance {
	return slices.DeleteFunc(c.group().Instances, func(i types.Instance) bool { return i.LifecycleState != state })
}

func (c *cloud) serving() []types.Instance { return c.in(types.LifecycleStateInService) }

func (c *cloud) health() map[string]elb.TargetHealthStateEnum {
	c.t.Helper()
	out, err := c.elb.DescribeTargetHealth(context.Background(),
		&elasticloadbalancingv2.DescribeTargetHealthInput{TargetGroupArn: aws.String(targets)})
	if err != nil {
		c.t.Fatal(err)
	}
	all := map[string]elb.TargetHealthStateEnum{}
	for _, d := range out.TargetHealthDescriptions {
		all[*d.Target.Id] = d.TargetHealth.State
	}
	return all
}

// until waits until ok is true and returns how long that took. It fails after an hour of virtual time.
func (c *cloud) until(what string, ok func() bool) time.Duration {
	c.t.Helper()
	begun := time.Now()
	for !ok() {
		if time.Since(begun) > time.Hour {
			c.t.Fatalf("not within an hour: %s; %+v", what, c.group().Instances)
		}
		time.Sleep(time.Second)
	}
	return time.Since(begun)
}

func (c *cloud) filled() {
	c.t.Helper()
	c.until("two in service and healthy", func() bool {
		n := 0
		for _, h := range c.health() {
			if h == elb.TargetHealthStateEnumHealthy {
				n++
			}
		}
		return n == 2 && len(c.serving()) == 2
	})
}

func (c *cloud) update(in autoscaling.UpdateAutoScalingGroupInput) error {
	in.AutoScalingGroupName = aws.String(name)
	_, err := c.as.UpdateAutoScalingGroup(context.Background(), &in)
	return err
}

func (c *cloud) deploy(version string) {
	c.t.Helper()
	if err := c.sim.Update(name, asgsim.Change{Version: version}); err != nil {
		c.t.Fatal(err)
	}
}

// desire sets the desired capacity.
func (c *cloud) desire(n int) {
	c.t.Helper()
	if err := c.sim.Update(name, asgsim.Change{Desired: &n}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cloud) activities() []types.Activity {
	c.t.Helper()
	out, err := c.as.DescribeScalingActivities(context.Background(),
		&autoscaling.DescribeScalingActivitiesInput{AutoScalingGroupName: aws.String(name)})
	if err != nil {
		c.t.Fatal(err)
	}
	return out.Activities
}

func refused(t *testing.T, err error, code, says string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code || !strings.Contains(api.ErrorMessage(), says) {
		t.Errorf("%v, want %s: %s", err, code, says)
	}
}
