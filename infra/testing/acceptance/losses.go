package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// inService returns the ids of the instances of a group that are healthy and in service.
func inService(g types.AutoScalingGroup) (ids []string) {
	for _, i := range g.Instances {
		if i.LifecycleState == types.LifecycleStateInService && aws.ToString(i.HealthStatus) == "Healthy" {
			ids = append(ids, aws.ToString(i.InstanceId))
		}
	}
	slices.Sort(ids)
	return ids
}

// full returns "" if a group has as many instances in service as it wants, none of them lost, and the load balancer
// sends requests to them. Unlike whole it does not wait until EC2 and the group have forgotten the lost ones.
func (t *test) full(ctx context.Context, g types.AutoScalingGroup, lost ...string) (string, error) {
	ids, want := inService(g), int(aws.ToInt32(g.DesiredCapacity))
	if gone := slices.IndexFunc(lost, func(id string) bool { return slices.Contains(ids, id) }); gone >= 0 {
		return lost[gone] + " still counts as in service", nil
	}
	if len(ids) != want {
		return fmt.Sprintf("%d instances in service, want %d", len(ids), want), nil
	}
	for _, arn := range g.TargetGroupARNs {
		healthy, err := t.targets(ctx, arn)
		if err != nil {
			return "", err
		}
		for _, id := range ids {
			if !slices.Contains(healthy, id) {
				return id + " is not healthy for the load balancer", nil
			}
		}
	}
	return "", nil
}

// targets returns the ids of the healthy targets of a target group.
func (t *test) targets(ctx context.Context, arn string) (healthy []string, err error) {
	out, err := elb.NewFromConfig(t.aws).DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: &arn})
	if err != nil {
		return nil, fmt.Errorf("describe the health of targets: %w", err)
	}
	for _, d := range out.TargetHealthDescriptions {
		if d.TargetHealth != nil && d.TargetHealth.State == elbtypes.TargetHealthStateEnumHealthy {
			healthy = append(healthy, aws.ToString(d.Target.Id))
		}
	}
	return healthy, nil
}

// awaitFull waits until a group is full without the instances that were lost.
func (t *T) awaitFull(ctx context.Context, name string, lost ...string) (g types.AutoScalingGroup, err error) {
	err = t.until(ctx, "group "+name+" is full", 20*time.Minute, func(ctx context.Context) (bool, error) {
		if g, err = t.group(ctx, name); err != nil {
			return false, err
		}
		not, err := t.full(ctx, g, lost...)
		if not != "" {
			err = fmt.Errorf("group %s: %s", name, not)
		}
		return err == nil, err
	})
	return g, err
}

// probes is the number of photos that show that the service works.
const probes = 10

// works sends photos at the same time and waits until they are processed. Some may be late by the visibility timeout:
// a worker that is lost takes along what it has just received.
func (t *T) works(ctx context.Context) error {
	begun := time.Now()
	errs := make([]error, probes)
	var all sync.WaitGroup
	for n := range errs {
		all.Go(func() { errs[n] = t.send(ctx, t.service, t.pictures.steady) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	t.logf("%s: %d more photos came back within %.1f s", t.scene, probes, time.Since(begun).Seconds())
	return nil
}

// undisturbed waits for a hundred requests of the steady client. None may fail.
func (t *T) undisturbed(ctx context.Context) error {
	begun, failed := time.Now(), 0
	err := t.until(ctx, "a hundred requests", 2*time.Minute, func(context.Context) (done bool, _ error) {
		all := 0
		failed, all = t.failures(begun)
		return all >= 100, nil
	})
	if err == nil && failed > 0 {
		err = fmt.Errorf("%d requests failed after the service had recovered", failed)
	}
	return err
}

// lose takes an instance of each group away, one after the other, and waits until it is replaced. how is the verb of
// the report. A worker serves no requests, so that none may fail; those in progress on a server may.
func (t *T) lose(ctx context.Context, how string, do func(ctx context.Context, id string) error) error {
	for _, name := range t.groups() {
		g, err := t.awaitFull(ctx, name)
		if err != nil {
			return err
		}
		id, begun := inService(g)[0], time.Now()
		if err := do(ctx, id); err != nil {
			return err
		}
		if err := t.works(ctx); err != nil {
			return fmt.Errorf("after %s was %s: %w", id, how, err)
		}
		if _, err := t.awaitFull(ctx, name, id); err != nil {
			return err
		}
		took := time.Since(begun)
		failed, all := t.failures(begun)
		t.figure("one of %d in %s was %s: replaced after %.0f s; %d of %d requests failed", len(inService(g)), name, how,
			took.Seconds(), failed, all)
		if failed > 0 && len(g.TargetGroupARNs) == 0 {
			return fmt.Errorf("%d requests failed, although %s serves none", failed, name)
		}
		if err := t.undisturbed(ctx); err != nil {
			return err
		}
	}
	return nil
}

// cleanupTime bounds what a scene does to put things back, also after an interrupt.
const cleanupTime = 2 * time.Minute

// putBack runs a clean-up and joins its error with that of the scene.
func putBack(ctx context.Context, err *error, what string, do func(context.Context) error) {
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	if e := do(limited); e != nil {
		*err = errors.Join(*err, fmt.Errorf("put %s back: %w", what, e))
	}
}
