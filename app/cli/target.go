package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"imagery/app/client"
	"imagery/app/deploy/settings"
)

// noStack is the value of settings.Settings.Stack if no stack is named.
const noStack = "local"

// target holds the deployment that a command works on: the settings, completed with the outputs of the stack that they
// name.
type target struct {
	settings.Settings
	out outputs // zero unless they were read
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
	t.out = out
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

// pulumiTimeout bounds one call of the pulumi program, which asks its backend over the network.
const pulumiTimeout = time.Minute

var errNoPulumi = errors.New("pulumi is not on PATH")

// outputs are the outputs of a stack that commands need. A field is empty if the stack does not have it.
type outputs struct {
	URL              string              `json:"url"` // of the service; a sentence if the stack has a certificate
	BalancerURL      string              `json:"balancerUrl"`
	ImagesBucket     string              `json:"imagesBucket"`
	ReleaseBucket    string              `json:"releaseBucket"`
	Release          string              `json:"release"` // SHA-256 of the newest binary, 64 hex digits
	Table            string              `json:"table"`
	QueueURL         string              `json:"queueUrl"`
	DLQURL           string              `json:"dlqUrl"`
	ServerGroup      string              `json:"serverGroup"`
	WorkerGroup      string              `json:"workerGroup"`
	TemplateVersions map[string]int      `json:"templateVersions"` // by role, the newest
	AlarmTopic       string              `json:"alarmTopic"`       // ARN
	GuardAlarms      map[string][]string `json:"guardAlarms"`      // names of alarms by role
	Region           string              `json:"region"`
}

// readOutputs reads the outputs of a stack, of the selected one if stack is empty; secret outputs are not asked for.
// Its errors begin with subject. Instead names the flags that make the pulumi program unnecessary.
func readOutputs(ctx context.Context, subject, instead, stack string) (o outputs, err error) {
	args := []string{"stack", "output", "--json", "--non-interactive"}
	if stack != "" {
		args = append(args, "--stack="+stack)
	}
	text, err := runPulumi(ctx, subject, instead, args...)
	if err != nil {
		return o, err
	}
	if err := json.Unmarshal(text, &o); err != nil {
		return outputs{}, fmt.Errorf("%s: pulumi printed no outputs: %w", subject, err)
	}
	return o, nil
}

// runPulumi runs the pulumi program and returns its standard output. The caller puts a flag and the name of a stack
// into one argument, so that a name that begins with a dash is not taken for a flag.
func runPulumi(ctx context.Context, subject, instead string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, pulumiTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "pulumi", args...)
	cmd.WaitDelay = time.Second // a plugin may keep the pipes open after pulumi has ended
	out, err := cmd.Output()
	switch {
	case err == nil:
		return out, nil
	case errors.Is(err, exec.ErrNotFound) && instead == "":
		return nil, errNoPulumi
	case errors.Is(err, exec.ErrNotFound):
		return nil, fmt.Errorf("%s: %w: install it, or give %s instead of --stack", subject, errNoPulumi, instead)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s: pulumi did not answer: %w", subject, ctx.Err())
	}
	text := err.Error()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		text = cmp.Or(errorLine(string(exit.Stderr)), text)
	}
	return nil, fmt.Errorf("%s: pulumi: %s", subject, text)
}

// errorLine returns the line of stderr that begins with "error: ", else its first line.
func errorLine(stderr string) string {
	line := strings.TrimSpace(stderr)
	if _, after, ok := strings.Cut("\n"+line, "\nerror: "); ok {
		line = after
	}
	line, _, _ = strings.Cut(line, "\n")
	return client.Printable(line)
}
