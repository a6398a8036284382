package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagery/app/deploy/settings"
)

// fakePulumi puts a pulumi on PATH that is this script, and returns the file that it may write its arguments to.
func fakePulumi(t *testing.T, script string) (args string) {
	t.Helper()
	dir := t.TempDir()
	args = filepath.Join(dir, "args")
	text := "#!/bin/sh\necho \"$*\" > " + args + "\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(dir, "pulumi"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return args
}

const someOutputs = `{"url":"http://alb.example","albDns":"alb.example","imagesBucket":"photos","table":"images",
"queueUrl":"https://q","dlqUrl":"https://d",
"serverGroup":"imagery-dev-server","workerGroup":"imagery-dev-worker",
"templateVersions":{"server":3,"worker":4},"alarmTopic":"arn:topic",
"region":"eu-central-1","monthlyCostUsd":{"total":1},"azs":["a","b"],"password":"[secret]"}`

func callOn(s settings.Settings) Invocation {
	return Invocation{Settings: s, Open: func(_ context.Context, s settings.Settings, region string) (Deployment, error) {
		return Deployment{}, nil
	}}
}

func TestStackOutputs(t *testing.T) {
	args := fakePulumi(t, "cat <<'END'\n"+someOutputs+"\nEND")
	c := callOn(settings.Settings{Stack: "dev"})
	var opened settings.Settings
	var at string
	c.Open = func(_ context.Context, s settings.Settings, region string) (Deployment, error) {
		opened, at = s, region
		return Deployment{Close: func() error { return nil }}, nil
	}
	if err := c.use(t.Context(), func(Deployment) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if opened.Table != "images" || opened.Bucket != "photos" || opened.QueueURL != "https://q" ||
		opened.DLQURL != "https://d" || at != "eu-central-1" {
		t.Errorf("opened %+v in %q", opened, at)
	}
	p, err := c.target(t.Context())
	if err != nil || p.out.ServerGroup != "imagery-dev-server" || p.out.TemplateVersions["worker"] != 4 {
		t.Errorf("%+v, %v", p, err)
	}
	t.Setenv("AWS_REGION", "us-east-1")
	if cfg, err := p.awsConfig(t.Context()); err != nil || cfg.Region != "eu-central-1" {
		t.Errorf("the SDK would ask %s, %v", cfg.Region, err)
	}
	asked, err := os.ReadFile(args)
	if got := strings.TrimSpace(string(asked)); err != nil || got != "stack output --json --non-interactive --stack=dev" {
		t.Errorf("pulumi was asked %q, %v; secrets must not be asked for", got, err)
	}
}

// With a certificate the output url is a sentence, and no command takes it for an address.
func TestServiceURLOfAStack(t *testing.T) {
	const plain = `"url":"http://alb.example"`
	sentence := `"url":"point a name that the certificate covers at alb.example, then use https://<that name>"`
	for text, want := range map[string]string{plain: "http://alb.example", sentence: ""} {
		fakePulumi(t, "cat <<'END'\n"+strings.Replace(someOutputs, plain, text, 1)+"\nEND")
		got, err := callOn(settings.Settings{Stack: "dev"}).serviceURL(t.Context())
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
}

// What the settings say needs no pulumi, and neither does a data folder.
func TestStackIsNotReadWithoutNeed(t *testing.T) {
	args := fakePulumi(t, "exit 1")
	for _, s := range []settings.Settings{{Stack: noStack}, {Stack: "dev", Table: "t", Bucket: "b", QueueURL: "q"}} {
		if p, err := callOn(s).target(t.Context()); err != nil || p.out.Table != "" || p.Settings != s {
			t.Errorf("%+v: %+v, %v", s, p, err)
		}
	}
	if _, err := os.Stat(args); err == nil {
		t.Error("pulumi was asked")
	}
}

func TestStackRefusals(t *testing.T) {
	for name, c := range map[string]struct{ script, want string }{
		"unknown": {"echo warning: old >&2; echo \"error: no stack named 'dev' found\" >&2; exit 255",
			"pulumi: no stack named 'dev' found"},
		"no word":    {"exit 3", "exit status 3"},
		"no outputs": {"echo '{}'", "no table, bucket or queue"},
		"no JSON":    {"echo hello", "printed no outputs"},
	} {
		t.Run(name, func(t *testing.T) {
			fakePulumi(t, c.script)
			_, err := callOn(settings.Settings{Stack: "dev"}).target(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want %q on one line", err, c.want)
			}
		})
	}
	t.Run("no pulumi", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		_, err := callOn(settings.Settings{Stack: "dev"}).target(t.Context())
		if err == nil || !strings.Contains(err.Error(), "not on PATH") ||
			!strings.Contains(err.Error(), "--table, IMAGERY_TABLE") {
			t.Error(err)
		}
	})
}

// Without a stack, the settings have the name "local", which is not a stack.
func TestNoStackIsTheDefault(t *testing.T) {
	s, err := settings.FromEnv(func(string) string { return "" })
	if err != nil || s.Stack != noStack {
		t.Errorf("%q, %v", s.Stack, err)
	}
}
