package main

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// rolling waits until a group has a refresh in progress that began after a time.
func (t *T) rolling(ctx context.Context, name string, since time.Time) error {
	return t.until(ctx, "the rollout replaces instances", 10*time.Minute, func(ctx context.Context) (bool, error) {
		out, err := autoscaling.NewFromConfig(t.aws).DescribeInstanceRefreshes(ctx,
			&autoscaling.DescribeInstanceRefreshesInput{AutoScalingGroupName: &name, MaxRecords: aws.Int32(1)})
		if err != nil || len(out.InstanceRefreshes) == 0 {
			return false, err
		}
		r := out.InstanceRefreshes[0]
		return r.Status == types.InstanceRefreshStatusInProgress && aws.ToTime(r.StartTime).After(since.Add(-time.Second)),
			nil
	})
}

// interrupted ends an up while it replaces instances, and repeats it.
func (t *T) interrupted(ctx context.Context, name string, killed bool) error {
	b, err := t.build(ctx, name, nil)
	if err != nil {
		return err
	}
	if err := t.calm(ctx); err != nil {
		return err
	}
	if err := t.use(ctx, b.path); err != nil {
		return err
	}
	begun := time.Now()
	p, err := t.start(ctx, "pulumi", t.onStack(append([]string{"up"}, changes...)...)...)
	if err != nil {
		return err
	}
	if err := t.rolling(ctx, t.current.WorkerGroup, begun); err != nil {
		_ = p.signal(syscall.SIGINT)
		_, ended := p.wait()
		return fmt.Errorf("%w; pulumi up: %w", err, ended)
	}
	at, how := time.Now(), "an interrupt (Ctrl-C)"
	if killed {
		how, err = "a kill of all its processes", p.kill()
	} else {
		err = p.signal(syscall.SIGINT)
	}
	if err != nil {
		return err
	}
	if _, err := p.wait(); err == nil {
		return fmt.Errorf("pulumi up succeeded in spite of %s", how)
	}
	t.figure("%s after %.0f s ended `pulumi up` within %.1f s", how, at.Sub(begun).Seconds(), time.Since(at).Seconds())
	if killed {
		if err := t.unlock(ctx); err != nil {
			return err
		}
	}
	begun = time.Now()
	if err := t.repeat(ctx); err != nil {
		return err
	}
	t.figure("the next `pulumi up` finished the rollout within %.0f s", time.Since(begun).Seconds())
	if err := t.serve(ctx); err != nil {
		return err
	}
	return t.settled(ctx, b.sha)
}

// lockTimeout is more than the two minutes after which the rollout lock of a killed up expires.
const lockTimeout = 3 * time.Minute

// repeat runs `pulumi up` again, until no killed run holds the rollout lock any more: its message says when that is.
func (t *T) repeat(ctx context.Context) error {
	for begun := time.Now(); ; time.Sleep(10 * time.Second) {
		text, err := t.up(ctx)
		if err == nil || !strings.Contains(text, "holds the rollout lock") || time.Since(begun) > lockTimeout {
			return err
		}
		t.logf("%s: the killed up still holds the rollout lock", t.scene)
	}
}

// interruptedUp interrupts one up and kills another.
func interruptedUp(ctx context.Context, t *T) error {
	if err := t.interrupted(ctx, "interrupted", false); err != nil {
		return err
	}
	if err := t.interrupted(ctx, "killed", true); err != nil {
		return err
	}
	return t.unharmed()
}

// otherTypes are instance types that no preset has, by architecture.
var otherTypes = map[string]string{"arm64": "t4g.medium", "amd64": "t3.medium"}

// instanceType changes the type of the servers under load.
func instanceType(ctx context.Context, t *T) error {
	arch, err := t.arch(ctx)
	if err != nil {
		return err
	}
	want := otherTypes[arch]
	release, err := t.running(ctx)
	if err != nil {
		return err
	}
	if err := t.calm(ctx); err != nil {
		return err
	}
	if err := t.set(ctx, "imagery:serverType", want); err != nil {
		return err
	}
	begun := time.Now()
	if _, err := t.up(ctx); err != nil {
		return err
	}
	took := time.Since(begun)
	if err := t.serve(ctx); err != nil {
		return err
	}
	if err := t.settled(ctx, release); err != nil {
		return err
	}
	g, err := t.group(ctx, t.current.ServerGroup)
	if err != nil {
		return err
	}
	out, err := ec2.NewFromConfig(t.aws).DescribeLaunchTemplateVersions(ctx, &ec2.DescribeLaunchTemplateVersionsInput{
		LaunchTemplateId: g.LaunchTemplate.LaunchTemplateId, Versions: []string{aws.ToString(g.LaunchTemplate.Version)}})
	if err != nil {
		return fmt.Errorf("describe the launch template of group %s: %w", t.current.ServerGroup, err)
	}
	for _, v := range out.LaunchTemplateVersions {
		if got := string(v.LaunchTemplateData.InstanceType); got != want {
			return fmt.Errorf("servers are %s, want %s", got, want)
		}
	}
	t.figure("`pulumi up` replaced the servers by %s within %.0f s", want, took.Seconds())
	return t.unharmed()
}

// previewIsEmpty asks pulumi what a further up would change.
func previewIsEmpty(ctx context.Context, t *T) error {
	text, err := t.pulumi(ctx, "preview", "--expect-no-changes", "--diff", "--suppress-progress")
	if err != nil {
		return fmt.Errorf("%w\n%s", err, tail(text))
	}
	return nil
}
