package cli

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"

	"imagery/app/admin/doctor"
)

const aboutDoctor = `Check the configuration of a deployment; each finding says what it means and what to type

With --stack, or with table, bucket and queue, it checks credentials, permissions, the table with its index and TTL,
buckets, queues, alarms and their subscribers, resources that carry the tags of the stack but are in no Pulumi state,
the service, and clocks. Without, it checks the data folder, disk, memory, port, files and clock of this machine. It
changes nothing. It checks what is configured; imagery status shows how the service is running.

Everything is compared with what this release expects. Finding leftover resources needs pulumi on PATH. The exit code is
1 when something is wrong; a warning does not need immediate action.`

func doctorCmd(fs *flag.FlagSet) func(context.Context, Invocation) error {
	url := fs.String("url", "",
		"`address` of the service, to compare clocks and releases (default: that of the stack)")
	all := fs.Bool("all", false, "also print what is in order")
	return func(ctx context.Context, inv Invocation) error {
		done := inv.progress(func() string { return "checking" })
		found := inv.examine(ctx, *url)
		done()
		if err := interrupted(ctx); err != nil {
			return err
		}
		return inv.printFindings(found, *all)
	}
}

// examine checks the deployment that the settings select. A stack whose outputs cannot be read is a finding and does
// not end the check: the stack may have been destroyed, and what it left behind can still be found.
func (inv Invocation) examine(ctx context.Context, url string) []doctor.Finding {
	found := []doctor.Finding{}
	add := func(level doctor.Level, area, text, means, do string) {
		found = append(found, doctor.Finding{Level: level, Area: area, Text: text, Means: means, Do: do})
	}
	t, err := inv.target(ctx)
	if err != nil {
		add(doctor.Wrong, "stack", errorText(err), "only resources that carry its tags can be checked",
			"pulumi stack ls; pulumi up")
		t = target{Settings: inv.Settings}
	} else if !t.OnAWS() {
		return doctor.Local(t.Settings).Examine(ctx)
	}
	cfg, err := t.awsConfig(ctx)
	if err != nil {
		add(doctor.Wrong, "settings", errorText(err), "no AWS service can be called", "export AWS_REGION=us-east-1, or yours")
		return found
	}
	d := doctor.Cloud{AWS: cfg, Settings: t.Settings, ReleaseBucket: t.out.ReleaseBucket, Topic: t.out.AlarmTopic,
		URL: strings.TrimSuffix(cmp.Or(url, t.out.URL), "/"), Release: t.out.Release, FormatError: errorText}
	if d.URL != "" && !strings.Contains(d.URL, "://") {
		d.URL = "http://" + d.URL
	}
	if t.Stack != noStack {
		d.Stack = t.Stack
		d.Export = func(ctx context.Context) ([]byte, error) { // secrets stay encrypted in it
			return runPulumi(ctx, "read the state of stack "+t.Stack, "", "stack", "export", "--non-interactive",
				"--stack="+t.Stack)
		}
	} else {
		add(doctor.Info, "stack", "no stack was named", "alarms and leftover resources are not checked",
			"imagery doctor --stack NAME")
	}
	return append(found, d.Examine(ctx)...)
}

// levelNames are the levels as text.
var levelNames = map[doctor.Level]string{
	doctor.OK: "ok", doctor.Info: "info", doctor.Warning: "WARNING", doctor.Wrong: "WRONG",
}

// printFindings prints the findings, and returns an error if something is wrong.
func (inv Invocation) printFindings(found []doctor.Finding, all bool) (err error) {
	count := map[doctor.Level]int{}
	for _, f := range found {
		count[f.Level]++
	}
	if count[doctor.Wrong] > 0 {
		err = errors.New(plural(count[doctor.Wrong], "problem"))
	}
	if inv.JSON {
		return errors.Join(inv.printJSON(struct {
			Wrong    int              `json:"wrong"`
			Warnings int              `json:"warnings"`
			Findings []doctor.Finding `json:"findings"`
		}{count[doctor.Wrong], count[doctor.Warning], found}), err)
	}
	const indent = "                     "
	for _, f := range found {
		if f.Level == doctor.OK && !all {
			continue
		}
		inv.wrapped(fmt.Sprintf("%-8s %-11s ", levelNames[f.Level], f.Area), indent, f.Text)
		if f.Means != "" {
			inv.wrapped(indent, indent, "means: "+f.Means)
		}
		if f.Do != "" {
			inv.wrapped(indent, indent, "do: "+f.Do)
		}
	}
	fmt.Fprintf(inv.Out, "%d checks: %d ok, %d for your information, %s, %d wrong\n",
		len(found), count[doctor.OK], count[doctor.Info], plural(count[doctor.Warning], "warning"), count[doctor.Wrong])
	return err
}
