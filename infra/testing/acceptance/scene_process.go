package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

// ssmKey is the setting that lets Systems Manager run commands on instances.
const ssmKey = "imagery:ssm"

// killScript kills the service and prints how many milliseconds later another process serves.
const killScript = `set -eu
pid() { systemctl show -P MainPID imagery; }
old=$(pid)
from=$(date +%s%3N)
kill -9 "$old"
until new=$(pid); [ "$new" != 0 ] && [ "$new" != "$old" ] && curl -sf -o /dev/null http://127.0.0.1:8080/readyz; do
  [ $(($(date +%s%3N) - from)) -lt 60000 ] || { systemctl status imagery; exit 1; }
  sleep 0.1
done
echo "restarted after $(($(date +%s%3N) - from)) ms"`

var restarted = regexp.MustCompile(`restarted after (\d+) ms`)

// processKilled kills the service's process on an instance of each group. systemd starts it again.
func processKilled(ctx context.Context, t *T) error {
	on, err := t.setting(ctx, ssmKey)
	if err != nil {
		return err
	}
	if on != "true" {
		return skipError(fmt.Sprintf("commands on instances need Systems Manager, and %s is %q", ssmKey, on))
	}
	for _, name := range t.groups() {
		g, err := t.awaitFull(ctx, name)
		if err != nil {
			return err
		}
		id, begun := inService(g)[0], time.Now()
		text, err := t.command(ctx, id, killScript)
		if err != nil {
			return err
		}
		took := restarted.FindStringSubmatch(text)
		if took == nil {
			return fmt.Errorf("the service of %s was not restarted: %s", id, text)
		}
		if err := t.works(ctx); err != nil {
			return err
		}
		failed, all := t.failures(begun)
		t.figure("kill -9 in %s: ready again after %s ms; %d of %d requests failed", name, took[1], failed, all)
		after, err := t.awaitFull(ctx, name)
		if err != nil {
			return err
		}
		if !strings.Contains(strings.Join(inService(after), " "), id) {
			return fmt.Errorf("%s was replaced, although its service was ready again", id)
		}
	}
	return t.undisturbed(ctx)
}

// command runs a script as root on an instance and returns its output.
func (t *T) command(ctx context.Context, id, script string) (text string, err error) {
	manager := ssm.NewFromConfig(t.aws)
	command := ""
	err = t.until(ctx, "Systems Manager accepts a command for "+id, 5*time.Minute,
		func(ctx context.Context) (bool, error) {
			out, err := manager.SendCommand(ctx, &ssm.SendCommandInput{DocumentName: aws.String("AWS-RunShellScript"),
				InstanceIds: []string{id}, Parameters: map[string][]string{"commands": {script}}})
			if err != nil {
				return false, err // the agent of a new instance registers some time after its start
			}
			command = aws.ToString(out.Command.CommandId)
			return true, nil
		})
	if err != nil {
		return "", err
	}
	var status types.CommandInvocationStatus
	err = t.until(ctx, "the command on "+id+" ends", 5*time.Minute, func(ctx context.Context) (bool, error) {
		out, err := manager.GetCommandInvocation(ctx, &ssm.GetCommandInvocationInput{CommandId: &command, InstanceId: &id})
		if err != nil {
			return false, err // it may not exist yet
		}
		status = out.Status
		text = aws.ToString(out.StandardOutputContent) + aws.ToString(out.StandardErrorContent)
		return ended(status), nil
	})
	if err == nil && status != types.CommandInvocationStatusSuccess {
		err = fmt.Errorf("the command on %s ended with %s: %s", id, status, tail(text))
	}
	return text, err
}

// ended reports whether a command has its final status.
func ended(s types.CommandInvocationStatus) bool {
	switch s {
	case types.CommandInvocationStatusPending, types.CommandInvocationStatusInProgress,
		types.CommandInvocationStatusDelayed, types.CommandInvocationStatusCancelling, "":
		return false
	}
	return true
}
