package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"imagery/app/deploy/settings"
)

// noStack is the stack of settings that name none.
const noStack = "local"

// pulumiBound is how long the pulumi program may take; it asks its backend over the network.
const pulumiBound = time.Minute

var errNoPulumi = errors.New("pulumi is not on PATH")

// outputs are what `pulumi stack output` says, as far as verbs need it. A field that the stack does not have is
// empty.
type outputs struct {
	URL              string         `json:"url"` // empty if the stack has a certificate, whose name it does not know
	BalancerDNS      string         `json:"albDns"`
	ImagesBucket     string         `json:"imagesBucket"`
	ReleaseBucket    string         `json:"releaseBucket"`
	Release          string         `json:"release"` // SHA-256 of the newest binary, 64 hex digits
	Table            string         `json:"table"`
	QueueURL         string         `json:"queueUrl"`
	DLQURL           string         `json:"dlqUrl"`
	ServerGroup      string         `json:"serverGroup"`
	WorkerGroup      string         `json:"workerGroup"`
	TemplateVersions map[string]int `json:"templateVersions"` // by role, the newest
	AlarmTopic       string         `json:"alarmTopic"`       // ARN
	Region           string         `json:"region"`

	BalancerURL string              `json:"balancerUrl"` // the output url need not be an address
	GuardAlarms map[string][]string `json:"guardAlarms"` // names of alarms by role
}

// place is what a verb works on: the settings, completed with the outputs of the stack that was asked for.
type place struct {
	settings.Settings
	out       outputs // zero when the settings said where everything is
	fromStack bool    // out was read
}

// place finds out where the verb's images are. Table, bucket and queue from the settings win; without them
// --stack NAME stands for the outputs of that Pulumi stack, and without both it is the data folder.
func (c Call) place(ctx context.Context) (place, error) {
	p := place{Settings: c.Settings}
	if p.OnAWS() || p.Stack == noStack || p.Stack == "" {
		return p, nil
	}
	var err error
	if p.out, err = readOutputs(ctx, p.Stack); err != nil {
		return place{}, err
	}
	p.Settings = p.AtStack(p.out.Table, p.out.ImagesBucket, p.out.QueueURL, p.out.DLQURL)
	p.fromStack = true
	return p, nil
}

// open opens the backend of the verb's place; the verb closes it.
func (c Call) open(ctx context.Context) (Backend, error) {
	p, err := c.place(ctx)
	if err != nil {
		return Backend{}, err
	}
	return c.Open(ctx, p.Settings, p.out.Region)
}

// aws is the SDK's own configuration, in the region of the stack if one was read.
func (p place) aws(ctx context.Context) (aws.Config, error) {
	var with []func(*config.LoadOptions) error
	if p.out.Region != "" {
		with = append(with, config.WithRegion(p.out.Region))
	}
	cfg, err := config.LoadDefaultConfig(ctx, with...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("read the settings of the AWS SDK: %w", err)
	}
	if cfg.Region == "" {
		return aws.Config{}, errors.New("no AWS region: set AWS_REGION")
	}
	return cfg, nil
}

// readOutputs asks the pulumi program. Secret outputs stay hidden: they are not asked for.
func readOutputs(ctx context.Context, stack string) (o outputs, err error) {
	subject := fmt.Sprintf("read the outputs of stack %s", stack)
	instead := fmt.Sprintf("%s, %s and %s", settings.Named("table"), settings.Named("bucket"), settings.Named("queue-url"))
	if o, err = queryOutputs(ctx, subject, instead, stack); err != nil {
		return o, err
	}
	if !strings.HasPrefix(o.URL, "http") { // a sentence: which name must point where
		o.URL = ""
	}
	if o.Table == "" || o.ImagesBucket == "" || o.QueueURL == "" {
		return outputs{}, fmt.Errorf("%s: it has no table, bucket or queue: `pulumi up` did not end well, or it is no stack of imagery", subject)
	}
	return o, nil
}

// queryOutputs asks the pulumi program for the outputs of a stack, of the selected one if stack is empty. Its errors
// begin with subject; instead names the flags that replace the outputs.
func queryOutputs(ctx context.Context, subject, instead, stack string) (o outputs, err error) {
	args := []string{"stack", "output", "--json", "--non-interactive"}
	if stack != "" {
		args = append(args, "--stack="+stack)
	}
	out, err := askPulumi(ctx, subject, instead, args...)
	if err != nil {
		return o, err
	}
	if err := json.Unmarshal(out, &o); err != nil {
		return outputs{}, fmt.Errorf("%s: pulumi printed no outputs: %w", subject, err)
	}
	return o, nil
}

// askPulumi runs the pulumi program and returns what it printed. A stack belongs into one argument with its flag, so
// that a name that begins with a dash is no flag of pulumi's.
func askPulumi(ctx context.Context, subject, instead string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, pulumiBound)
	defer cancel()
	cmd := exec.CommandContext(ctx, "pulumi", args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	cmd.WaitDelay = time.Second // a plugin that keeps the pipes open must not keep us
	out, err := cmd.Output()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, fmt.Errorf("%s: %w: install it, or give %s instead of --stack", subject, errNoPulumi, instead)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s: pulumi did not answer: %w", subject, ctx.Err())
	case err != nil:
		return nil, fmt.Errorf("%s: pulumi: %s", subject, complaint(said.String(), err))
	}
	return out, nil
}

// complaint is the line of a program's errors that says what is wrong.
func complaint(said string, err error) string {
	first := ""
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(oneLine(line))
		if rest, ok := strings.CutPrefix(line, "error: "); ok {
			return rest
		}
		if first == "" {
			first = line
		}
	}
	if first == "" {
		return err.Error()
	}
	return first
}
