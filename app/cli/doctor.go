package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"

	"imagery/app/admin/doctor"
)

const aboutDoctor = `Looks whether a deployment is as the code assumes, and says of each finding what it means and what to type.

With --stack, or with table, bucket and queue: credentials, rights, table with index and TTL, buckets, queues,
alarms and who hears them, what carries the stack's tags and is in no state, the service, clocks. Without: the data
folder, disk, memory, port, files and clock of this machine. Every call is harmless. It looks at what is set up;
how the service does is imagery status.

Whether a queue, say, is as it should be is judged by what this release assumes. Leftovers need pulumi on PATH.
Exit code 1 when something is wrong; warnings are for daylight.`

// doctoring is one run of doctor.
type doctoring struct {
	url  string
	all  bool
	json *bool
}

// examine is doctor.
func examine(fs *flag.FlagSet) func(context.Context, Call) error {
	var r doctoring
	fs.StringVar(&r.url, "url", "", "of the service, to compare clocks and releases; a stack says it by itself")
	fs.BoolVar(&r.all, "all", false, "name what is as it should be, too")
	r.json = jsonFlag(fs)
	return func(ctx context.Context, c Call) error {
		if err := c.noArgs(); err != nil {
			return err
		}
		done := c.watch(func() string { return "looking" })
		found := r.find(ctx, c)
		done()
		if err := interrupted(ctx); err != nil {
			return err
		}
		return errors.Join(r.print(c, found), verdictOf(found))
	}
}

// find looks at whatever the settings select. A stack that cannot be read is a finding, too: it may have been
// destroyed, and what it left can be found all the same.
func (r doctoring) find(ctx context.Context, c Call) []doctor.Finding {
	var found []doctor.Finding
	p, err := c.place(ctx)
	if err != nil {
		found = append(found, doctor.Finding{Level: doctor.Wrong, Area: "stack", Text: say(err), Means: "only what carries its tags can be looked at",
			Do: "pulumi stack ls; pulumi up"})
		p = place{Settings: c.Settings}
	} else if !p.OnAWS() {
		return doctor.Local{Settings: p.Settings, FormatError: say}.Examine(ctx)
	}
	cfg, err := p.aws(ctx)
	if err != nil {
		return append(found, doctor.Finding{Level: doctor.Wrong, Area: "settings", Text: say(err), Means: "AWS cannot be asked", Do: "export AWS_REGION=us-east-1, or yours"})
	}
	d := doctor.Cloud{AWS: cfg, Settings: p.Settings, ReleaseBucket: p.out.ReleaseBucket, Topic: p.out.AlarmTopic, URL: p.out.URL, Release: p.out.Release, FormatError: say}
	if r.url != "" {
		d.URL = r.url
	}
	if d.URL = strings.TrimSuffix(d.URL, "/"); d.URL != "" && !strings.Contains(d.URL, "://") {
		d.URL = "http://" + d.URL
	}
	if p.Stack != noStack {
		d.Stack, d.State = p.Stack, stateOf(ctx, p.Stack)
	} else {
		found = append(found, doctor.Finding{Level: doctor.Info, Area: "stack", Text: "no stack was named", Means: "alarms and leftovers are not looked at", Do: "imagery doctor --stack NAME"})
	}
	return append(found, d.Examine(ctx)...)
}

// stateOf asks pulumi what the stack's state has. Secrets stay encrypted in it, and only ids and ARNs are read.
func stateOf(ctx context.Context, stack string) doctor.State {
	export, err := askPulumi(ctx, "read the state of stack "+stack, "", "stack", "export", "--non-interactive", "--stack="+stack)
	if errors.Is(err, errNoPulumi) {
		err = errNoPulumi // flags would not help here
	}
	if err != nil {
		return doctor.State{Err: err}
	}
	return doctor.ParseState(export)
}

// marks are the levels as a person scans them.
var marks = map[doctor.Level]string{doctor.OK: "ok", doctor.Info: "info", doctor.Warning: "WARNING", doctor.Wrong: "WRONG"}

func (r doctoring) print(c Call, found []doctor.Finding) error {
	count := map[doctor.Level]int{}
	for _, f := range found {
		count[f.Level]++
	}
	if *r.json {
		return c.document(struct {
			Wrong    int              `json:"wrong"`
			Warnings int              `json:"warnings"`
			Findings []doctor.Finding `json:"findings"`
		}{count[doctor.Wrong], count[doctor.Warning], append([]doctor.Finding{}, found...)})
	}
	const indent = "                     "
	for _, f := range found {
		if f.Level == doctor.OK && !r.all {
			continue
		}
		c.wrapped(fmt.Sprintf("%-8s %-11s ", marks[f.Level], f.Area), indent, oneLine(f.Text))
		if f.Means != "" {
			c.wrapped(indent, indent, "means: "+oneLine(f.Means))
		}
		if f.Do != "" {
			c.wrapped(indent, indent, "do: "+oneLine(f.Do))
		}
	}
	fmt.Fprintf(c.Out, "%d looked at: %d ok, %d for your information, %s, %d wrong\n", len(found), count[doctor.OK], count[doctor.Info],
		plural(count[doctor.Warning], "warning"), count[doctor.Wrong])
	return nil
}

// verdictOf is the error when something is wrong.
func verdictOf(found []doctor.Finding) error {
	wrong := 0
	for _, f := range found {
		if f.Level == doctor.Wrong {
			wrong++
		}
	}
	if wrong == 0 {
		return nil
	}
	return fmt.Errorf("%s wrong", plural(wrong, "thing"))
}
