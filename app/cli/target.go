package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"imagery/app/deploy/settings"
)

// noStack is the value of settings.Settings.Stack if no stack is named.
const noStack = "local"

// target holds the deployment that a command works on: the settings, completed with the outputs of the stack that they
// name.
type target struct {
	settings.Settings
	out       outputs // zero unless fromStack
	fromStack bool    // the outputs were read
}

// target returns what the command works on. Table, bucket and queue of the settings come first; else the resources of
// the Pulumi stack --stack; else the data folder.
func (inv Invocation) target(ctx context.Context) (target, error) {
	t := target{Settings: inv.Settings}
	if t.OnAWS() || t.Stack == noStack || t.Stack == "" {
		return t, nil
	}
	subject := "read the outputs of stack " + t.Stack
	instead := fmt.Sprintf("%s, %s and %s", settings.Named("table"), settings.Named("bucket"), settings.Named("queue-url"))
	out, err := readOutputs(ctx, subject, instead, t.Stack)
	if err != nil {
		return target{}, err
	}
	if out.Table == "" || out.ImagesBucket == "" || out.QueueURL == "" {
		return target{}, fmt.Errorf("%s: it has no table, bucket or queue: "+
			"it is not a stack of imagery, or `pulumi up` has failed", subject)
	}
	if !strings.HasPrefix(out.URL, "http") { // with a certificate it is a sentence about the name to use
		out.URL = ""
	}
	t.Settings = t.WithStack(out.Table, out.ImagesBucket, out.QueueURL, out.DLQURL)
	t.out, t.fromStack = out, true
	return t, nil
}

// use opens the deployment that the command works on, calls do and closes it.
func (inv Invocation) use(ctx context.Context, do func(Deployment) error) error {
	t, err := inv.target(ctx)
	if err != nil {
		return err
	}
	d, err := inv.Open(ctx, t.Settings, t.out.Region)
	if err != nil {
		return err
	}
	return errors.Join(do(d), d.Close())
}

// awsConfig returns the configuration of the AWS SDK, with the region of the stack if its outputs were read.
func (t target) awsConfig(ctx context.Context) (aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(t.out.Region)) // "" is no option
	if err != nil {
		return aws.Config{}, fmt.Errorf("read the settings of the AWS SDK: %w", err)
	}
	if cfg.Region == "" {
		return aws.Config{}, errors.New("no AWS region: set AWS_REGION")
	}
	return cfg, nil
}
