package alarms

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"imagery/app/cli"
	"imagery/app/deploy/settings"
)

// The alarms that commands and runbook know are those of the table.
func TestAlarmsAreKnown(t *testing.T) {
	var names, guards []string
	for _, row := range (Watched{}).rows() {
		if names = append(names, row.name); row.guard != "" {
			guards = append(guards, row.name)
		}
	}
	if !slices.Equal(names, settings.Alarms) || !slices.Equal(guards, settings.GuardAlarms) {
		t.Errorf("the table has %v, of these guards %v; settings has %v and %v", names, guards, settings.Alarms,
			settings.GuardAlarms)
	}
	for name, want := range map[string]string{"imagery-dev-lag-1a2b3c4": "lag", "imagery-dev-lag": "lag",
		"imagery-dev-2-lag-1a2b3c4": "", "imagery-dev-lag-x": "", "imagery-dev-server-latency-0000000": "server-latency"} {
		if got := settings.AlarmOf("acme/imagery/dev", name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	project, err := os.ReadFile(filepath.Join("..", "..", "Pulumi.yaml"))
	if err != nil || !strings.HasPrefix(string(project), "name: "+settings.Project+"\n") {
		t.Errorf("the project is not called %s: %v", settings.Project, err)
	}
}

// Alarm texts name a command that the binary parses, and fit CloudWatch's limit with the longest resource names.
func TestAlarmTextsNameAVerb(t *testing.T) {
	names := map[string]string{}
	for _, n := range []string{"table", "bucket", "queueUrl", "serverGroup", "workerGroup", "targetGroup", "serverLogs",
		"workerLogs"} {
		names[n] = "arn:aws:elasticloadbalancing:ap-southeast-2:000000000000:" + strings.Repeat("n", 70)
	}
	names["stack"] = "a-stack-with-a-long-name"
	for _, row := range (Watched{}).rows() {
		text := fill(row.text(), names)
		if len(text) > 1024 || strings.ContainsAny(text, "{}") ||
			!strings.HasSuffix(text, " More: docs/runbook.md#"+row.name) {
			t.Errorf("%s: %d bytes: %s", row.name, len(text), text)
		}
		commands := 0
		for _, command := range regexp.MustCompile(`imagery [a-z][^;]*`).FindAllString(fill(row.do, names), -1) {
			command, _, _ = strings.Cut(command, " names ")
			command, _, _ = strings.Cut(command, " with the same flags")
			if err := understood(strings.TrimSuffix(command, ".")); err != nil {
				t.Errorf("%s: %s: %v", row.name, command, err)
			}
			commands++
		}
		if commands == 0 {
			t.Errorf("%s names no command: %s", row.name, row.do)
		}
	}
}

// understood parses a command as the binary does.
func understood(command string) error {
	stop := errors.New("understood")
	app := cli.App{BeforeCommand: func() error { return stop }}
	if err := app.Run(context.Background(), strings.Fields(command)[1:]); !errors.Is(err, stop) {
		return err
	}
	return nil
}

// parts of a section, in their order.
var parts = []string{"**Effect.**", "**Cause.**", "**Check.**", "**Action.**", "**Resolved when**"}

// Each alarm has its section in the runbook, each section its alarm, all five parts, and commands that are understood.
func TestRunbook(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(Runbook)))
	if err != nil {
		t.Fatal(err)
	}
	if problems := readRunbook(string(page)); len(problems) > 0 {
		t.Error(strings.Join(problems, "\n"))
	}
	// A page that lacks something must not pass.
	for old, damaged := range map[string]string{
		"\n## lag\n": "\n## lags\n", "\n## table-errors\n": "\n", "**Check.** The dashboard": "**See.** The dashboard",
		"`imagery dlq ls --stack STACK`": "`imagery dlq list --stack STACK`", "--drop-malformed": "--drop-all",
		"`aws logs tail":                   "`rm -rf /; aws logs tail",
		"**Action.** None. Servers reject": "**Action.**\n\n**Check.**", "imagery:serverMax": "imagery:serversMax",
		"`imagery rollout to RELEASE": "`imagery rollout back RELEASE",
	} {
		broken := strings.Replace(string(page), old, damaged, 1)
		if broken == string(page) {
			t.Errorf("the page has no %q", old)
		} else if len(readRunbook(broken)) == 0 {
			t.Errorf("%q in the place of %q is not noticed", damaged, old)
		}
	}
}

// readRunbook says what is wrong with the page.
func readRunbook(page string) (problems []string) {
	sections := regexp.MustCompile(`(?m)^## (.*)$`).Split(page, -1)[1:]
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^## (.*)$`).FindAllStringSubmatch(page, -1) {
		names = append(names, m[1])
	}
	if !slices.Equal(names, settings.Alarms) {
		problems = append(problems, fmt.Sprintf("the sections are %v, the alarms %v", names, settings.Alarms))
	}
	for i, text := range sections {
		marks := regexp.MustCompile(`(?m)^\*\*[^*]+\*\*`).FindAllString(text, -1)
		if !slices.Equal(marks, parts) {
			problems = append(problems, fmt.Sprintf("%s has %v, want %v", names[i], marks, parts))
		}
		for j, part := range regexp.MustCompile(`(?m)^\*\*[^*]+\*\*`).Split(text, -1)[1:] {
			if len(strings.Fields(part)) < 4 && j < len(marks) && !strings.Contains(part, "imagery smoke") {
				problems = append(problems, fmt.Sprintf("%s: %s says nothing", names[i], marks[j]))
			}
		}
	}
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(page, -1) {
		words := strings.Fields(m[1])
		switch {
		case strings.Contains(m[1], "\n"):
			problems = append(problems, m[1]+" is broken into two lines and cannot be copied")
		case strings.HasPrefix(m[1], "imagery rollout "):
			if err := understood(m[1]); err != nil || !strings.HasSuffix(m[1], " --stack STACK") {
				problems = append(problems, fmt.Sprintf("%s is no command of the rollout: %v", m[1], err))
			}
		case words[0] == "imagery":
			if err := understood(m[1]); err != nil {
				problems = append(problems, fmt.Sprintf("%s: %v", m[1], err))
			}
		case len(words) > 1 && words[0] != "aws" && words[0] != "pulumi":
			problems = append(problems, m[1]+" is an unknown command")
		}
	}
	for _, key := range regexp.MustCompile(`imagery:(\w+)`).FindAllStringSubmatch(page, -1) {
		docs, err := os.ReadFile(filepath.Join("..", "..", "docs", "aws.md"))
		if err != nil || !strings.Contains(string(docs), "| `"+key[1]+"` |") {
			problems = append(problems, fmt.Sprintf("there is no key %s: %v", key[1], err))
		}
	}
	return problems
}
