package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"imagery/app/cli"
	"imagery/app/deploy/settings"
	"imagery/app/testing/fakeaccount"
	"imagery/app/testing/short"
)

// runCommand runs a command. In has the answers of the user; nil stands for no terminal.
func runCommand(t *testing.T, ctx context.Context, in io.Reader, args ...string) (out, errOut string, err error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	app := cli.App{Console: cli.Console{Out: &stdout, Err: &stderr, In: in}, Getenv: os.Getenv,
		Open: func(context.Context, settings.Settings, string) (cli.Deployment, error) {
			return cli.Deployment{}, errors.New("not opened in this test")
		}}
	err = app.Run(ctx, args)
	return stdout.String(), stderr.String(), err
}

type drill struct {
	Alarms []struct {
		Name, Before, Skipped, Error string
		Back                         bool
		Deliveries                   []struct{ On, State, Error string }
	}
}

func drilled(t *testing.T, a *fakeaccount.Account, args ...string) (d drill, err error) {
	t.Helper()
	out, _, err := runCommand(t, t.Context(), nil,
		slices.Concat([]string{"alarms", "test", "--yes", "--json"}, a.Flags(), args)...)
	if jsonErr := json.Unmarshal([]byte(out), &d); jsonErr != nil {
		t.Fatalf("%v: %s, %v", jsonErr, out, err)
	}
	return d, err
}

// Every alarm is rung, its actions are seen to succeed in both directions, and it is OK in the end.
func TestAlarmsTest(t *testing.T) {
	short.Skip(t, "the alarm test waits for the history of alarms")
	a := fakeaccount.Start(t)
	a.Add(fakeaccount.Alarm{Name: "imagery-test-2-lag-1a2b3c4", State: "OK", Enabled: true}) // of another stack
	d, err := drilled(t, a)
	if err != nil || len(d.Alarms) != len(settings.Alarms) {
		t.Fatalf("%d alarms, %v", len(d.Alarms), err)
	}
	for i, r := range d.Alarms {
		if r.Name != settings.Alarms[i] || !r.Back || len(r.Deliveries) != 2 || r.Deliveries[0].On != "ALARM" ||
			r.Deliveries[1].On != "OK" ||
			r.Deliveries[0].State != "succeeded" || r.Deliveries[1].State != "succeeded" {
			t.Errorf("%+v", r)
		}
		if a.Alarm(r.Name).State != "OK" {
			t.Errorf("%s is left %s", r.Name, a.Alarm(r.Name).State)
		}
	}
	if slices.ContainsFunc(a.Calls(), func(c string) bool { return strings.HasPrefix(c, "imagery-test-2-") }) {
		t.Error("an alarm of another stack was rung")
	}
	// The second drill must not take what the first one left in the history for its own.
	a.Alarm("lag").Silent = true
	if d, err = drilled(t, a, "--name", "lag", "--wait", "1ms"); err == nil || len(d.Alarms) != 1 ||
		d.Alarms[0].Deliveries[0].State != "not seen" || !d.Alarms[0].Back {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestAlarmsTestFailures(t *testing.T) {
	const noKey = "CloudWatch Alarms does not have authorization to access the SNS topic encryption key."
	for name, c := range map[string]struct {
		damage func(a *fakeaccount.Account)
		want   string // in the error
		screen string
	}{
		"an action fails": {func(a *fakeaccount.Account) { a.Alarm("lag").Delivers, a.Alarm("lag").Why = false, noKey },
			"not every action was seen to succeed: lag", "lag: CloudWatch Alarms does not have authorization"},
		"nobody has clicked": {func(a *fakeaccount.Account) {
			a.Subscribe(fakeaccount.Subscription{Protocol: "email", Endpoint: "oncall@example.com"})
		}, "nobody will receive it: dead-letters",
			"nobody will receive any alarm: email oncall@example.com has not confirmed"},
		"nobody has subscribed": {func(a *fakeaccount.Account) { a.Subscribe() }, "nobody will receive it",
			"imagery:alarmEmail"},
		"no action": {func(a *fakeaccount.Account) { a.Alarm("lag").Actions = nil }, "nobody will receive it: lag",
			"it has no action"},
		"switched off": {func(a *fakeaccount.Account) { a.Alarm("lag").Enabled = false }, "nobody will receive it: lag",
			"its actions are switched off"},
		"rings already": {func(a *fakeaccount.Account) { a.Alarm("lag").State = "ALARM" },
			"not tested, since its state is ALARM: lag", "lag: it rings already"},
		"history refused": {func(a *fakeaccount.Account) {
			a.Answers("cloudwatch:DescribeAlarmHistory", 500, "")
		}, "not every action was seen to succeed: dead-letters", "read the history of imagery-test-lag"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AWS_MAX_ATTEMPTS", "1")
			a := fakeaccount.Start(t)
			c.damage(a)
			before := a.Alarm("lag").State
			out, _, err := runCommand(t, t.Context(), nil,
				append([]string{"alarms", "test", "--yes", "--wait", "50ms"}, a.Flags()...)...)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(out, c.screen) {
				t.Errorf("%v\n%s", err, out)
			}
			for _, alarm := range settings.Alarms {
				if want := map[bool]string{true: before, false: "OK"}[alarm == "lag"]; a.Alarm(alarm).State != want {
					t.Errorf("%s is left %s", alarm, a.Alarm(alarm).State)
				}
			}
		})
	}
}

// An interruption at any call leaves no alarm red.
func TestAlarmsTestInterrupted(t *testing.T) {
	for at := range 6 {
		a := fakeaccount.Start(t)
		ctx, cancel := context.WithCancel(t.Context())
		sets := 0
		a.Hook(func(call string) {
			if call == "cloudwatch:SetAlarmState" {
				if sets++; sets == 2*at+1 {
					cancel()
				}
			}
		})
		_, _, err := runCommand(t, ctx, nil, append([]string{"alarms", "test", "--yes"}, a.Flags()...)...)
		cancel()
		if err == nil || !strings.Contains(err.Error(), "interrupted") {
			t.Errorf("after %d: %v", at, err)
		}
		for _, alarm := range settings.Alarms {
			if a.Alarm(alarm).State != "OK" {
				t.Errorf("after %d: %s is left %s", at, alarm, a.Alarm(alarm).State)
			}
		}
	}
}

// One that cannot be put back is named with what to type.
func TestAlarmsTestSaysWhatStaysRed(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	a := fakeaccount.Start(t)
	sets := 0
	a.Hook(func(call string) {
		if call == "cloudwatch:SetAlarmState" {
			if sets++; sets == 2 {
				a.Answers("cloudwatch:SetAlarmState", 500, "")
			}
		}
	})
	out, _, err := runCommand(t, t.Context(), nil,
		append([]string{"alarms", "test", "--yes", "--name", "lag,queue-age", "--wait", "50ms"}, a.Flags()...)...)
	if err == nil || !strings.Contains(err.Error(), "NOT SET BACK") ||
		!strings.Contains(out, "--alarm-name imagery-test-lag-1a2b3c4") {
		t.Errorf("%v\n%s", err, out)
	}
}

// People are asked before they are paged, and nothing happens without their word.
func TestAlarmsTestAsks(t *testing.T) {
	for _, c := range []struct {
		in    io.Reader
		rings bool
		usage bool
	}{{nil, false, true}, {strings.NewReader(""), false, true}, {strings.NewReader("\n"), false, false},
		{strings.NewReader("n\n"), false, false}, {strings.NewReader("y\n"), true, false}} {
		a := fakeaccount.Start(t)
		_, said, err := runCommand(t, t.Context(), c.in, append([]string{"alarms", "test"}, a.Flags()...)...)
		usage := (*settings.UsageError)(nil)
		if rang := slices.Contains(a.Calls(), "cloudwatch:SetAlarmState"); rang != c.rings || (err == nil) != c.rings ||
			errors.As(err, &usage) != c.usage {
			t.Errorf("rang %t, %v, asked %q", rang, err, said)
		}
		if c.rings && (!strings.Contains(said, "oncall@example.com, confirmed") ||
			!strings.Contains(said, "15 alarms of stack test")) {
			t.Errorf("asked %q", said)
		}
	}
}

func TestAlarmsUsage(t *testing.T) {
	a := fakeaccount.Start(t)
	for _, args := range [][]string{{"test", "--yes", "--name", "nothing"}, {"test", "--yes", "--wait", "0s"},
		{"test", "--yes", "extra"}, {"ls", "extra"}, {"ls", "--stack", ""}} {
		_, _, err := runCommand(t, t.Context(), nil, slices.Concat([]string{"alarms"}, args[:1], a.Flags(), args[1:])...)
		if usage := (*settings.UsageError)(nil); !errors.As(err, &usage) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestAlarmsList(t *testing.T) {
	a := fakeaccount.Start(t)
	a.Subscribe(fakeaccount.Subscription{Protocol: "https", Endpoint: "https://hooks.example/T0/s3cret", Confirmed: true},
		fakeaccount.Subscription{Protocol: "email", Endpoint: "late@example.com"})
	a.Alarm("servers-low").State, a.Alarm("servers-low").Since = "ALARM", time.Now().Add(-12*time.Minute)
	out, _, err := runCommand(t, t.Context(), nil, append([]string{"alarms", "ls"}, a.Flags()...)...)
	if err != nil || !strings.Contains(out, "servers-low        ALARM  12m") ||
		!strings.Contains(out, "https https://hooks.example/...") {
		t.Errorf("%v\n%s", err, out)
	}
	if strings.Contains(out, "s3cret") {
		t.Error("the path of a web hook is printed")
	}
	a.Answers("sns:ListSubscriptionsByTopic", 403, fakeaccount.Refusal)
	if out, _, err = runCommand(t, t.Context(), nil, append([]string{"alarms", "ls"}, a.Flags()...)...); err != nil ||
		!strings.Contains(out, "cannot tell") || !strings.Contains(out, "ListSubscriptionsByTopic: AccessDenied") {
		t.Errorf("%v\n%s", err, out)
	}
	if strings.Count(out, "unknown") != len(settings.Alarms) {
		t.Error(out)
	}
}
