package main

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imagery/infra/network"
	"imagery/infra/preflight"
	"imagery/infra/testing/pulumitest"
)

// changeCase is one change of one key on a deployed stack.
type changeCase struct {
	before, after map[string]string // configurations; they differ in the key
	roles         []string          // whose instances are replaced; nil with replaced: both
	nothing       bool              // unlike the row, this value changes no resource
	refused       string            // part of the error; unlike the row unless that is refused
	effect        effect            // unlike the row, if other keys change, too
}

// prodBase is the configuration of a protected stack with every optional part, and devBase the smallest.
var prodBase, devBase = variants["prod"], map[string]string{}

// with returns a configuration with one key set; "" removes it.
func with(base map[string]string, key, value string) map[string]string {
	out := maps.Clone(base)
	if out[key] = value; value == "" {
		delete(out, key)
	}
	return out
}

// turn returns the case that sets a key of a configuration.
func turn(base map[string]string, key, value string) changeCase {
	return changeCase{before: base, after: with(base, key, value)}
}

// changeCases maps each key to at least one case.
var changeCases = map[string][]changeCase{
	"profile": {
		{before: devBase, after: map[string]string{"profile": "prod"}},
		{before: map[string]string{"profile": "prod"}, after: devBase},
	},
	"egress":  egressCases(),
	"vpcCidr": {{before: devBase, after: with(devBase, "vpcCidr", "10.43.0.0/16"), refused: "vpcCidr 10.43.0.0/16"}},
	"azCount": {
		turn(devBase, "azCount", "3"), turn(map[string]string{"egress": "natPerAz"}, "azCount", "3"),
		{before: with(devBase, "azCount", "3"), after: devBase, refused: "instances run in 3 zones"},
	},
	"azs": {
		{before: devBase, after: with(devBase, "azs", "eu-central-1b,eu-central-1c"), nothing: true},
		{before: devBase, after: with(devBase, "azs", "eu-central-1c,eu-central-1b"), refused: "in this order"},
		{before: devBase, after: with(devBase, "azs", "eu-central-1b,eu-central-1d"), refused: "only be appended"},
		{before: with(devBase, "azs", "eu-central-1b,eu-central-1c"),
			after: map[string]string{"azs": "eu-central-1b,eu-central-1c,eu-central-1d", "azCount": "3"}},
	},
	"allowedCidrs":   {turn(prodBase, "allowedCidrs", "192.0.2.0/24")},
	"certificateArn": {turn(devBase, "certificateArn", certificate), turn(prodBase, "certificateArn", "")},
	"accessLogs":     {turn(devBase, "accessLogs", "true"), turn(prodBase, "accessLogs", "")},
	"arch": {
		{before: devBase, after: with(devBase, "arch", "amd64"), refused: "imagery:serverType t4g.micro is arm64"},
		{before: devBase, refused: "the image that this stack keeps is for arm64",
			after: map[string]string{"arch": "amd64", "serverType": "t3.micro", "workerType": "t3.small"}},
		{before: devBase, effect: replaced, after: map[string]string{"arch": "amd64", "serverType": "t3.micro",
			"workerType": "t3.small", "amiFollow": "true"}},
	},
	"serverType": {
		{before: devBase, after: with(devBase, "serverType", "t4g.small"), roles: []string{"server"}},
	},
	"workerType":        {turn(devBase, "workerType", "t4g.medium")},
	"serverMin":         {turn(devBase, "serverMin", "3")},
	"serverMax":         {turn(devBase, "serverMax", "3")},
	"workerMin":         {turn(devBase, "workerMin", "3")},
	"workerMax":         {turn(devBase, "workerMax", "3")},
	"requestsPerTarget": {turn(devBase, "requestsPerTarget", "500")},
	"backlogPerWorker":  {turn(devBase, "backlogPerWorker", "10")},
	"amiId": {
		turn(devBase, "amiId", "ami-00000000000000002"), turn(prodBase, "amiId", "ami-00000000000000002"),
	},
	"amiFollow": {
		turn(devBase, "amiFollow", "true"), {before: with(devBase, "amiFollow", "true"), after: devBase, nothing: true},
	},
	"ssm": {
		turn(devBase, "ssm", "true"), turn(prodBase, "ssm", ""),
		turn(map[string]string{"egress": "endpoints"}, "ssm", "true"),
	},
	"alarmEmail":          {turn(devBase, "alarmEmail", "ops@example.com"), turn(prodBase, "alarmEmail", "")},
	"protectData":         {turn(devBase, "protectData", "true"), turn(prodBase, "protectData", "false")},
	"logRetentionDays":    {turn(devBase, "logRetentionDays", "30")},
	"uploadExpireDays":    {turn(devBase, "uploadExpireDays", "60")},
	"bootRetrySeconds":    {turn(devBase, "bootRetrySeconds", "200")},
	"rollout":             {turn(devBase, "rollout", "off"), turn(devBase, "rollout", "start")},
	"rolloutForce":        {turn(devBase, "rolloutForce", "true")},
	"bakeSeconds":         {turn(devBase, "bakeSeconds", "0")},
	"preflight":           {turn(devBase, "preflight", "warn")},
	"smoke":               {turn(devBase, "smoke", "off")},
	"accountId":           {turn(devBase, "accountId", "111122223333")},
	"tags":                {turn(devBase, "tags", "team=photos")},
	"permissionsBoundary": {turn(devBase, "permissionsBoundary", "arn:aws:iam::111122223333:policy/bound")},
	"artifact":            {turn(with(devBase, "artifact", "one"), "artifact", "two")},
}

// egressCases returns all ordered pairs of modes, in two and in three zones, and those that the rollout mode refuses.
func egressCases() []changeCase {
	var cases []changeCase
	for _, from := range network.Modes {
		for _, to := range network.Modes {
			if from == to {
				continue
			}
			for _, count := range []string{"2", "3"} {
				base := map[string]string{"egress": string(from), "azCount": count}
				cases = append(cases, turn(base, "egress", string(to)))
			}
			for _, mode := range []string{"start", "off"} {
				base := map[string]string{"egress": string(from), "rollout": mode}
				cases = append(cases, changeCase{before: base, after: with(base, "egress", string(to)), refused: "set it to wait"})
			}
		}
	}
	return cases
}

// TestChanges fails for a key without a row, and for a row that the program contradicts.
func TestChanges(t *testing.T) {
	var names, rows []string
	for _, k := range keys {
		names = append(names, k.name)
	}
	for _, c := range changes {
		rows = append(rows, c.key)
	}
	if !slices.Equal(names, rows) {
		t.Fatalf("the rows of changes (changes_table_test.go) are\n%v\nthe keys are\n%v", rows, names)
	}
	for _, row := range changes {
		t.Run(row.key, func(t *testing.T) {
			t.Parallel()
			if len(changeCases[row.key]) == 0 {
				t.Fatal("the row has no case in changeCases")
			}
			for _, c := range changeCases[row.key] {
				if err := c.check(t, row.effect); err != nil {
					t.Errorf("%v -> %v: %v", c.before, c.after, err)
				}
			}
		})
	}
}

// check compares a case with the row of its key.
func (c changeCase) check(t *testing.T, want effect) error {
	before, _, err := planned(t, c.before)
	if err != nil {
		return err
	}
	after, cfg, err := planned(t, c.after)
	if c.refused != "" && err != nil && strings.Contains(err.Error(), c.refused) {
		return nil // by a rule of the configuration
	} else if err != nil {
		return err
	}
	old := deployedAs(t, before, c.before)
	refusals := cfg.refusals(old, zonesOf(after))
	if c.refused != "" {
		if len(refusals) != 1 || !strings.Contains(refusals[0], c.refused) {
			return fmt.Errorf("refused with %q, want %q", refusals, c.refused)
		}
		return nil
	}
	if len(refusals) > 0 {
		return fmt.Errorf("refused: %q", refusals)
	}
	if c.effect != "" {
		want = c.effect
	}
	d := diff(before, after)
	if err := d.safe(); err != nil {
		return err
	}
	roles := c.roles
	if want == replaced && roles == nil {
		roles = []string{"server", "worker"}
	}
	switch {
	case c.nothing || want == untouched:
		if d.any() {
			return fmt.Errorf("changes something: %s", d)
		}
	case want == refused:
		return fmt.Errorf("not refused")
	case want == replaced && !slices.Equal(d.newVersions(), roles):
		return fmt.Errorf("new launch template versions of %v, want %v: %s", d.newVersions(), roles, d)
	case want == inPlace && (len(d.newVersions()) > 0 || !d.any()):
		return fmt.Errorf("new launch template versions of %v, want a change and none: %s", d.newVersions(), d)
	}
	return nil
}

// planned runs the program with a configuration. If it has the key artifact, planned creates that file.
func planned(t *testing.T, config map[string]string) (*pulumitest.Graph, Config, error) {
	t.Helper()
	root := t.TempDir()
	run := program(binary(t, "a release"), &fakeRoller{})
	if name := config["artifact"]; name != "" {
		if err := os.WriteFile(filepath.Join(root, name), []byte("release "+name), 0o755); err != nil {
			t.Fatal(err)
		}
		run = program(nil, &fakeRoller{})
	}
	cfg, _, err := load(t, "test", config)
	if err != nil {
		return nil, cfg, err
	}
	g, err := pulumitest.Run(run, "test", root, keysOf(config))
	return g, cfg, err
}

// deployedAs returns the stack as Pulumi's state would describe it, with an image that is older than today's.
func deployedAs(t *testing.T, g *pulumitest.Graph, config map[string]string) deployed {
	t.Helper()
	cfg, _, err := load(t, "test", config)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.AMIID == "" && !cfg.AMIFollow {
		for _, l := range g.Of("LaunchTemplate") {
			l.Set("imageId", "ami-0000000000000001d")
		}
	}
	return deployed{preflight.State{Zones: zonesOf(g)}, cfg.VPCCIDR, cfg.Egress, cfg.Arch}
}

// TestRefusalsOfADeployedStack checks that exactly the reasons of a refusal are reported.
func TestRefusalsOfADeployedStack(t *testing.T) {
	cfg, _, err := load(t, "test", map[string]string{"rollout": "off"})
	if err != nil {
		t.Fatal(err)
	}
	same := deployed{preflight.State{Zones: []string{"a", "b"}}, cfg.VPCCIDR, cfg.Egress, cfg.Arch}
	for name, c := range map[string]struct {
		zones []string
		edit  func(*deployed)
		want  string
	}{
		"nothing":                 {zones: []string{"a", "b"}},
		"other zones today":       {zones: []string{"x", "y"}},
		"one more":                {zones: []string{"a", "b", "c"}},
		"one more, AWS answers b": {zones: []string{"x", "a", "b"}, want: "which already has subnets"},
		"one less":                {zones: []string{"a"}, want: "cannot be deleted"},
		"egress":                  {same.Zones, func(l *deployed) { l.Egress = network.NAT }, "since imagery:rollout is off"},
		"arch":                    {same.Zones, func(l *deployed) { l.Arch = "amd64" }, "imagery:amiFollow in the same"},
		"vpcCidr": {same.Zones, func(l *deployed) { l.VPCCIDR = netip.MustParsePrefix("10.42.0.0/20") },
			"cannot change it"},
	} {
		old := same
		if c.edit != nil {
			c.edit(&old)
		}
		got := cfg.refusals(old, c.zones)
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// changeTable renders the table for the documentation.
func changeTable(*testing.T) string {
	var b strings.Builder
	b.WriteString("| Key | Running instances are | |\n|---|---|---|\n")
	for _, c := range changes {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", c.key, c.effect, c.note)
	}
	return b.String()
}
