package main

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// instanceKilled terminates an instance of each group without a word to the group.
func instanceKilled(ctx context.Context, t *T) error {
	return t.lose(ctx, "terminated", func(ctx context.Context, id string) error {
		_, err := ec2.NewFromConfig(t.aws).TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
		if err != nil {
			return fmt.Errorf("terminate instance %s: %w", id, err)
		}
		return nil
	})
}
