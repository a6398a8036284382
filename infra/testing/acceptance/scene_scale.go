package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

// scaleOut floods the service with photos until the workers' scaling policy has added workers, ends the flood, and
// waits until the group has its former size again.
func scaleOut(ctx context.Context, t *T) error {
	name := t.current.WorkerGroup
	g, err := t.awaitFull(ctx, name)
	if err != nil {
		return err
	}
	before, most := inService(g), int(aws.ToInt32(g.MaxSize))
	if most <= len(before) {
		return skipError(fmt.Sprintf("group %s has %d instances and may have %d: raise imagery:workerMax", name,
			len(before), most))
	}
	target, err := t.backlogTarget(ctx, name)
	if err != nil {
		return err
	}
	// Half more than the backlog that the group may have at its present size.
	f := t.flood(ctx, int(math.Ceil(1.5*target))*len(before)+1)
	defer f.stop() // after an error, too
	begun, served := time.Now(), []string(nil)
	err = t.until(ctx, "a worker more is in service", 15*time.Minute, func(ctx context.Context) (bool, error) {
		g, err := t.group(ctx, name)
		served = inService(g)
		return len(served) > len(before), err
	})
	grown := time.Since(begun)
	sent := f.stop()
	if err != nil {
		return err
	}
	failed, all := t.failures(begun)
	t.figure("%d photos at a time, %d in all, made %d workers %d within %.0f s; %d of %d requests failed", f.width, sent,
		len(before), len(served), grown.Seconds(), failed, all)
	calm := time.Now()
	left := leaving{}
	// On AWS the metric must be low for 15 minutes before each step back.
	err = t.until(ctx, "the group has its former size", 75*time.Minute, func(ctx context.Context) (bool, error) {
		g, err := t.group(ctx, name)
		if err != nil {
			return false, err
		}
		left.note(g, time.Now())
		return len(g.Instances) == len(before) && len(inService(g)) == len(before), nil
	})
	if err != nil {
		return err
	}
	t.figure("%d workers again %.0f s after the flood; %s", len(before), time.Since(calm).Seconds(), left)
	timeout, err := t.hookTimeout(ctx, name)
	if err != nil {
		return err
	}
	return left.check(timeout / time.Duration(t.side.factor))
}

// hookTimeout returns the timeout of a group's termination hook. An instance that completes it leaves earlier.
func (t *test) hookTimeout(ctx context.Context, name string) (time.Duration, error) {
	out, err := autoscaling.NewFromConfig(t.aws).DescribeLifecycleHooks(ctx,
		&autoscaling.DescribeLifecycleHooksInput{AutoScalingGroupName: &name})
	if err != nil {
		return 0, fmt.Errorf("describe the hooks of %s: %w", name, err)
	}
	for _, h := range out.LifecycleHooks {
		if aws.ToString(h.LifecycleTransition) == "autoscaling:EC2_INSTANCE_TERMINATING" {
			return time.Duration(aws.ToInt32(h.HeartbeatTimeout)) * time.Second, nil
		}
	}
	return 0, fmt.Errorf("group %s has no termination hook", name)
}

// backlogTarget returns the target of the group's policy: messages per instance.
func (t *test) backlogTarget(ctx context.Context, name string) (float64, error) {
	out, err := autoscaling.NewFromConfig(t.aws).DescribePolicies(ctx,
		&autoscaling.DescribePoliciesInput{AutoScalingGroupName: &name})
	if err != nil {
		return 0, fmt.Errorf("describe the scaling policies of %s: %w", name, err)
	}
	for _, p := range out.ScalingPolicies {
		if c := p.TargetTrackingConfiguration; c != nil && (p.Enabled == nil || *p.Enabled) {
			return aws.ToFloat64(c.TargetValue), nil
		}
	}
	return 0, fmt.Errorf("group %s has no target tracking policy among %d", name, len(out.ScalingPolicies))
}

// flood is a number of clients, each of which sends one photo after the other and waits for its result, so that as many
// photos are unfinished at any time.
type flood struct {
	width  int
	cancel context.CancelFunc
	all    sync.WaitGroup
	once   sync.Once
	t      *T
	mu     sync.Mutex
	sent   int
}

func (t *T) flood(ctx context.Context, width int) *flood {
	ctx, cancel := context.WithCancel(ctx)
	f := &flood{width: width, cancel: cancel, t: t}
	for range width {
		f.all.Go(func() {
			for ctx.Err() == nil {
				f.send(ctx)
			}
		})
	}
	return f
}

// send sends a photo and waits for its result, or for the end of the flood. The frame checks accepted photos.
func (f *flood) send(ctx context.Context) {
	id, p := newID(), f.t.pictures.heavy
	img, err := f.t.service.Create(ctx, id)
	if err == nil {
		img, err = f.t.service.Upload(ctx, id, p.name, p.data)
	}
	if err != nil {
		return // it was not accepted
	}
	f.t.accepted(id, p)
	f.mu.Lock()
	f.sent++
	f.mu.Unlock()
	_, _ = f.t.service.Wait(ctx, img)
}

// stop ends the flood and returns the number of accepted photos.
func (f *flood) stop() int {
	f.once.Do(func() { f.cancel(); f.all.Wait() })
	return f.sent
}

// leaving has, by id of an instance, when it was first and last seen waiting for its termination hook.
type leaving map[string][2]time.Time

func (l leaving) note(g types.AutoScalingGroup, now time.Time) {
	for _, i := range g.Instances {
		if i.LifecycleState != types.LifecycleStateTerminatingWait {
			continue
		}
		id := aws.ToString(i.InstanceId)
		first := l[id][0]
		if first.IsZero() {
			first = now
		}
		l[id] = [2]time.Time{first, now}
	}
}

// check returns an error unless instances left, and each completed its hook before the hook's timeout.
func (l leaving) check(timeout time.Duration) error {
	if len(l) == 0 {
		return fmt.Errorf("no instance was seen waiting for its termination hook")
	}
	for id, seen := range l {
		if seen[1].Sub(seen[0]) >= timeout {
			return fmt.Errorf("%s left when its termination hook timed out, after %s", id, timeout)
		}
	}
	return nil
}

func (l leaving) String() string {
	var took []string
	for _, seen := range l {
		took = append(took, fmt.Sprintf("%.0f s", seen[1].Sub(seen[0]).Seconds()))
	}
	slices.Sort(took)
	return fmt.Sprintf("%d left through the termination hook, which they completed within %s", len(l),
		strings.Join(took, ", "))
}
