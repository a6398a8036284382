package cli_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"slices"
	"strings"
	"testing"

	"imagery/app/cli"
	"imagery/app/deploy/settings"
)

// line is a command line as an App understood it.
type line struct {
	role     bool // no command was named
	settings settings.Settings
	args     []string
	loud     bool
}

// runLine runs args in an App with the extra command "shout [ARG...]", which has the flag --loud.
func runLine(t *testing.T, args ...string) (l line, out string, err error) {
	t.Helper()
	var stdout bytes.Buffer
	app := cli.App{Console: cli.Console{Out: &stdout, Err: &stdout},
		Role: func(_ context.Context, s settings.Settings) error {
			l = line{role: true, settings: s}
			return nil
		},
		Extra: []cli.Command{{Name: "shout", Args: "[ARG...]", About: "Shout",
			Setup: func(fs *flag.FlagSet) func(context.Context, cli.Invocation) error {
				loud := fs.Bool("loud", false, "be loud")
				return func(_ context.Context, inv cli.Invocation) error {
					l = line{settings: inv.Settings, args: inv.Args, loud: *loud}
					return nil
				}
			}}}}
	err = app.Run(t.Context(), args)
	return l, stdout.String(), err
}

// Flags have one dash or two, a value behind a space or "=", and stand before, between or behind the arguments.
func TestFlagsStandAnywhere(t *testing.T) {
	for _, args := range [][]string{
		{"shout", "-loud", "a", "b", "-table", "t", "-bucket=b", "--queue-url", "q"},
		{"shout", "a", "-table=t", "-bucket", "b", "b", "-queue-url", "q", "--loud"},
		{"-table", "t", "--bucket=b", "shout", "-queue-url", "q", "--loud", "a", "b"},
	} {
		l, _, err := runLine(t, args...)
		if err != nil || !l.loud || l.settings.Table != "t" || l.settings.QueueURL != "q" ||
			!slices.Equal(l.args, []string{"a", "b"}) {
			t.Errorf("%v: %+v, %v", args, l, err)
		}
	}
	for _, c := range []struct {
		args []string
		want func(settings.Settings) bool
	}{
		{[]string{"-role", "worker", "-consume=false"},
			func(s settings.Settings) bool { return s.Role == settings.Worker && !s.Consume }},
		{[]string{"--role=server", "-listen", ":9"},
			func(s settings.Settings) bool { return s.Role == settings.Server && s.Listen == ":9" }},
		{[]string{"-queue-chaos", "-5"}, func(s settings.Settings) bool { return s.QueueChaos == -5 }},
		{[]string{"-data", "-odd", "-consume"}, func(s settings.Settings) bool { return s.Data == "-odd" && s.Consume }},
		{nil, func(s settings.Settings) bool { return s.Role == settings.Local }},
	} {
		if l, _, err := runLine(t, c.args...); err != nil || !l.role || !c.want(l.settings) {
			t.Errorf("%v: %+v, %v", c.args, l, err)
		}
	}
}

// Every mistake on the command line is a usage error that suggests what was meant or names the next step.
func TestWrongCommandLines(t *testing.T) {
	for args, want := range map[string]string{
		"stauts":                `unknown command "stauts" for imagery: did you mean status? (see imagery --help)`,
		"king":                  `unknown command "king" for imagery: there are alarms, completion, `,
		"-role=server extra":    `unknown command "extra"`,
		"dlq lss":               `unknown command "lss" for imagery dlq: did you mean ls? (see imagery dlq --help)`,
		"reqeue --failed":       "did you mean requeue?",
		"help dlq shwo":         `did you mean show?`,
		"-nonsense":             "unknown flag: --nonsense (see imagery --help)",
		"why a -nonsense":       "unknown flag: --nonsense (see imagery why --help)",
		"dlq ls extra":          `unexpected argument "extra" (see imagery dlq ls --help)`,
		"dlq redrive --rate":    "flag needs an argument: --rate",
		"dlq redrive --rate x":  `"x"`,
		"fsck -max-pixels many": "--max-pixels, IMAGERY_MAX_PIXELS",
		"-role king":            "--role, IMAGERY_ROLE",
	} {
		l, _, err := runLine(t, strings.Fields(args)...)
		if usage := (*settings.UsageError)(nil); !errors.As(err, &usage) || !strings.Contains(err.Error(), want) || l.role {
			t.Errorf("%s: %v, want a usage error with %q", args, err, want)
		}
	}
}

// Help is asked for in four ways; a group without a command shows its help as well.
func TestHelp(t *testing.T) {
	for args, want := range map[string][]string{
		"-h":       {"Usage: imagery [flags]", "dlq ", "completion", "--role  (IMAGERY_ROLE", "Exit codes"},
		"help":     {"Usage: imagery [flags]"},
		"--help":   {"Usage: imagery [flags]"},
		"help dlq": {"Usage: imagery dlq [flags] COMMAND", "dlq redrive", "IMAGERY_TABLE", "Exit codes"},
		"dlq":      {"Usage: imagery dlq [flags] COMMAND", "dlq redrive"},
		"help fsck": {"Usage: imagery fsck [flags]", "--repair", "--older-than age", "(default 24h0m0s)",
			"IMAGERY_TABLE"},
		"fsck -h":          {"Usage: imagery fsck [flags]"},
		"fsck -help":       {"Usage: imagery fsck [flags]"},
		"rollout to -h":    {"Usage: imagery rollout to [flags] RELEASE", "--server-group"},
		"completion -h":    {"bash", "fish", "zsh"},
		"requeue a --help": {"Usage: imagery requeue [flags] ID | --failed"},
	} {
		l, out, err := runLine(t, strings.Fields(args)...)
		for _, w := range want {
			if err != nil || l.role || !strings.Contains(out, w) {
				t.Errorf("%s: %v, want %q in\n%s", args, err, w, out)
			}
		}
	}
	if _, out, _ := runLine(t, "rollout", "status", "-h"); strings.Contains(out, "IMAGERY_TABLE") {
		t.Errorf("the rollout has other flags:\n%s", out)
	}
	for _, name := range cli.Names() {
		_, out, err := runLine(t, append(strings.Fields(name), "--help")...)
		if err != nil || !strings.Contains(out, "Usage: imagery "+name) || !strings.Contains(out, "--json") {
			t.Errorf("%s --help: %v\n%s", name, err, out)
		}
		for line := range strings.Lines(out) {
			if len(line) > 121 && !strings.HasPrefix(line, "        ") {
				t.Errorf("%s --help has a line of %d columns: %s", name, len(line), line)
			}
		}
	}
}

// Commands, flags and values are completed, and each shell gets its script. An end-to-end test runs it in bash.
func TestCompletion(t *testing.T) {
	for args, want := range map[string]string{
		"__complete dlq ":         "redrive\tSend dead letters back to work",
		"__complete st":           "status\t",
		"__complete fsck --re":    "--repair\t",
		"__complete fsck -tab":    "--table\t",
		"__complete -role ":       "worker\n",
		"__complete help alarms ": "test\t",
	} {
		words := strings.Split(args, " ")
		if _, out, err := runLine(t, words...); err != nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v, want %q in\n%s", args, err, want, out)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		_, out, err := runLine(t, "completion", shell)
		if err != nil || !strings.Contains(out, "imagery") {
			t.Errorf("completion %s: %v", shell, err)
		}
	}
}
