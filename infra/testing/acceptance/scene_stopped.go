package main

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// machineStopped takes an instance of each group out of service as the runbook says, which costs no request, and then
// stops another one of each as its owner or AWS would: its system shuts down and ends the service, but the load
// balancer learns it from its health checks.
func machineStopped(ctx context.Context, t *T) error {
	groups := autoscaling.NewFromConfig(t.aws)
	err := t.lose(ctx, "replaced through its group", func(ctx context.Context, id string) error {
		_, err := groups.TerminateInstanceInAutoScalingGroup(ctx, &autoscaling.TerminateInstanceInAutoScalingGroupInput{
			InstanceId: &id, ShouldDecrementDesiredCapacity: aws.Bool(false)})
		if err != nil {
			return fmt.Errorf("take instance %s out of service: %w", id, err)
		}
		return nil
	})
	if err == nil {
		err = t.unharmed()
	}
	if err != nil {
		return err
	}
	return t.lose(ctx, "stopped", func(ctx context.Context, id string) error {
		_, err := ec2.NewFromConfig(t.aws).StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{id}})
		if err != nil {
			return fmt.Errorf("stop instance %s: %w", id, err)
		}
		return nil
	})
}
