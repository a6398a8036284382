package main

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"

	"imagery/infra/testing/asgsim"
)

// simulator returns a simulator with a group, whose machines never boot.
func simulator(t *testing.T, g asgsim.Group) *asgsim.Simulator {
	t.Helper()
	machines := &asgsim.Memory{Script: func(asgsim.Machine) asgsim.Script { return asgsim.Script{Boot: time.Hour} }}
	machines.Simulator = asgsim.New(asgsim.Options{Driver: machines})
	t.Cleanup(machines.Simulator.Close)
	machines.Simulator.Create(g)
	return machines.Simulator
}

// frontOf returns a front whose moto is another simulator, with a group of the same name and another capacity.
func frontOf(t *testing.T) (f *front, theirs *asgsim.Simulator) {
	t.Helper()
	group := asgsim.Group{Name: "imagery-rehearsal-server", Max: 4, Template: "lt-1", Version: "1"}
	theirs = simulator(t, group)
	server := httptest.NewServer(theirs.Handler())
	t.Cleanup(server.Close)
	group.Max, group.Version = 2, "7"
	return newFront(motoAt(server.URL), simulator(t, group), nil, nil, ""), theirs
}

// TestDescriptionsAreMotosWithLiveValues: settings are those that moto keeps, what changes while machines run is the
// simulator's.
func TestDescriptionsAreMotosWithLiveValues(t *testing.T) {
	f, _ := frontOf(t)
	c := autoscaling.NewFromConfig(as(serve(t, f), deployerKey))
	out, err := c.DescribeAutoScalingGroups(t.Context(), &autoscaling.DescribeAutoScalingGroupsInput{})
	if err != nil || len(out.AutoScalingGroups) != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	g := out.AutoScalingGroups[0]
	if *g.MaxSize != 4 || *g.LaunchTemplate.Version != "7" {
		t.Errorf("the largest size is %d, want moto's 4; the version is %s, want the simulator's 7", *g.MaxSize,
			*g.LaunchTemplate.Version)
	}
}

// TestARefusedChangeReachesNeither: moto accepts sizes that Auto Scaling refuses.
func TestARefusedChangeReachesNeither(t *testing.T) {
	f, theirs := frontOf(t)
	c := autoscaling.NewFromConfig(as(serve(t, f), deployerKey))
	update := func(desired int32) error {
		_, err := c.UpdateAutoScalingGroup(t.Context(), &autoscaling.UpdateAutoScalingGroupInput{
			AutoScalingGroupName: aws.String("imagery-rehearsal-server"), DesiredCapacity: &desired})
		return err
	}
	if err := update(3); err == nil || !strings.Contains(err.Error(), "ValidationError") {
		t.Errorf("3 instances of at most 2: %v", err)
	}
	if g, _, err := theirs.Snapshot("imagery-rehearsal-server"); err != nil || g.Desired != 0 {
		t.Errorf("after a refused change moto wants %d instances, %v", g.Desired, err)
	}
	if err := update(2); err != nil {
		t.Error(err)
	}
	if g, _, err := theirs.Snapshot("imagery-rehearsal-server"); err != nil || g.Desired != 2 {
		t.Errorf("moto wants %d instances, want 2, %v", g.Desired, err)
	}
}
