package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"imagery/app/deploy/settings"
)

// complaintScript prints the last error or warning in the log of an instance's service.
const complaintScript = `sed -nE 's/.*"level":"(WARN|ERROR)".*"error":"(([^"\\]|\\.)*)".*/\2/p' ` +
	`/var/log/imagery/imagery.log 2>/dev/null | tail -n 1`

// complaintsTimeout bounds the reading of logs after a scene that failed.
const complaintsTimeout = time.Minute

// complaints returns the last error or warning that the services of the stack's instances logged: what a client gets
// says that a part of the service failed, not why, and the logs go with the stack. What cannot be read is left out.
func (t *test) complaints(ctx context.Context, of *T) (text string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), complaintsTimeout)
	defer cancel()
	if on, err := t.setting(ctx, ssmKey); err != nil || on != "true" {
		return ""
	}
	filter := func(name, value string) types.Filter { return types.Filter{Name: &name, Values: []string{value}} }
	out, err := ec2.NewFromConfig(t.aws).DescribeInstances(ctx, &ec2.DescribeInstancesInput{Filters: []types.Filter{
		filter("tag:project", "imagery"), filter("tag:stack", settings.ShortStack(t.stack)),
		filter("instance-state-name", "running")}})
	if err != nil {
		t.logf("%s: describe the instances of the stack: %v", of.scene, err)
		return ""
	}
	for _, r := range out.Reservations {
		for _, i := range r.Instances {
			id := aws.ToString(i.InstanceId)
			line, err := of.command(ctx, id, complaintScript)
			if err != nil {
				t.logf("%s: read the log of %s: %v", of.scene, id, err)
			} else if line = strings.TrimSpace(line); line != "" {
				text += fmt.Sprintf("\n%s logged: %s", id, line)
			}
		}
	}
	return text
}
