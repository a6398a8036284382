package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/infra/network"
	"imagery/infra/preflight"
	"imagery/infra/testing/pulumitest"
)

// updated runs an update of a stack that an earlier run left.
func updated(t *testing.T, r *fakeRoller, before, after map[string]string) (*pulumitest.Graph, error) {
	t.Helper()
	old, _, err := planned(t, before)
	if err != nil {
		t.Fatal(err)
	}
	return pulumitest.Update(old, program(binary(t, "a release"), r), "test", t.TempDir(), keysOf(after))
}

// awsResources counts what was registered of AWS.
func awsResources(g *pulumitest.Graph) int {
	n := 0
	for _, r := range g.Resources {
		if strings.HasPrefix(r.Type, "aws:") {
			n++
		}
	}
	return n
}

func TestPreflightIsToldTheStackAndItsState(t *testing.T) {
	r := &fakeRoller{}
	if _, err := updated(t, r, variants["natPerAz"], variants["natPerAz"]); err != nil {
		t.Fatal(err)
	}
	zones := []string{"eu-central-1b", "eu-central-1c", "eu-central-1d"}
	w, s := r.want, r.was
	if w.Project != "imagery" || w.Stack != "test" || w.Region != region || w.AccountID != "111122223333" || w.Together ||
		w.Arch != "arm64" || w.NATs != 3 || w.Rules != 1 ||
		!slices.Equal(w.Zones, zones) || w.ZonesPinned || w.ImageFrozen || w.Image == "" {
		t.Errorf("%+v", w)
	}
	names := []string{"imagery-test-server", "imagery-test-worker"}
	if want := []preflight.Fleet{
		{Role: "server", Name: names[0], Type: "t4g.micro", VCPUs: 2, Min: 2, Max: 4, MaxHealthy: 150},
		{Role: "worker", Name: names[1], Type: "t4g.small", VCPUs: 2, Min: 2, Max: 4, MaxHealthy: 150},
	}; !slices.Equal(w.Fleets, want) {
		t.Errorf("%+v", w.Fleets)
	}
	if s.Unreadable || !slices.Equal(s.Zones, zones) || !slices.Equal(s.Groups, names) ||
		!slices.Equal(s.Templates, names) || s.Image != w.Image {
		t.Errorf("%+v", s)
	}
	r = &fakeRoller{}
	prod := keysOf(variants["prod"])
	if _, err := pulumitest.Run(program(binary(t, "a release"), r), "test", t.TempDir(), prod); err != nil {
		t.Fatal(err)
	}
	if r.want.Rules != 4 || r.want.NATs != 0 || !r.want.ZonesPinned || len(r.was.Groups) > 0 {
		t.Errorf("%+v, %+v", r.want, r.was)
	}
}

// The state says which way out running instances use.
func TestStateOfEveryEgress(t *testing.T) {
	for _, mode := range network.Modes {
		g, cfg, err := planned(t, map[string]string{"egress": string(mode)})
		if err != nil {
			t.Fatal(err)
		}
		var resources []stateResource
		for _, r := range g.Resources {
			resources = append(resources, stateResource{r.Type, "urn:pulumi:s::imagery::" + r.URN(), r.Inputs})
		}
		slices.SortFunc(resources, func(a, b stateResource) int { return strings.Compare(a.urn, b.urn) })
		f := stateOf(resources)
		if f.Egress != mode || f.Arch != "arm64" || f.VPCCIDR != cfg.VPCCIDR || len(f.Zones) != 2 {
			t.Errorf("%s: %+v", mode, f)
		}
	}
	if f := stateOf(nil); f.VPCCIDR.IsValid() || f.Egress != "" {
		t.Errorf("of nothing: %+v", f)
	}
	half := stateOf([]stateResource{{"aws:ec2/vpc:Vpc", "x::vpc", map[string]any{"cidrBlock": "10.1.0.0/16"}}})
	if half.Egress != "" || half.VPCCIDR != netip.MustParsePrefix("10.1.0.0/16") {
		t.Errorf("a network without groups: %+v", half)
	}
}

// Whatever the table of changes refuses, the program refuses before the first resource, in a preview too.
func TestRefusedChangesTouchNothing(t *testing.T) {
	n := 0
	for key, cases := range changeCases {
		for _, c := range cases {
			if c.refused == "" {
				continue
			}
			if _, _, err := load(t, "test", c.after); err != nil {
				continue // refused by a rule of the configuration
			}
			n++
			g, err := updated(t, &fakeRoller{}, c.before, c.after)
			if err == nil || !strings.Contains(err.Error(), c.refused) || awsResources(g) > 0 {
				t.Errorf("%s: %v -> %v: %v, %d resources", key, c.before, c.after, err, awsResources(g))
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d cases", n)
	}
}

// A stack whose network exists and whose groups were never made, after a first up that failed, may change its egress.
func TestHalfMadeStackMayChangeItsEgress(t *testing.T) {
	old, _, err := planned(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	half := &pulumitest.Graph{Resources: slices.DeleteFunc(slices.Clone(old.Resources), func(r *pulumitest.Resource) bool {
		return strings.HasSuffix(r.Type, ":Group")
	})}
	config := keysOf(map[string]string{"egress": "nat", "rollout": "off"})
	run := program(binary(t, "a release"), &fakeRoller{})
	if _, err := pulumitest.Update(half, run, "test", t.TempDir(), config); err != nil {
		t.Error(err)
	}
}

// Half of the network may be missing, after an up or a destroy that failed. The zones that are there keep their places.
func TestHalfMadeZones(t *testing.T) {
	old, _, err := planned(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	half := &pulumitest.Graph{Resources: slices.DeleteFunc(slices.Clone(old.Resources), func(r *pulumitest.Resource) bool {
		return strings.HasSuffix(r.Name, "-private-0") && strings.HasSuffix(r.Type, ":Subnet")
	})}
	for azs, refused := range map[string]string{
		"": "", "eu-central-1b,eu-central-1c": "", "eu-central-1d,eu-central-1c": "",
		"eu-central-1b,eu-central-1d": "imagery:azs eu-central-1b,eu-central-1c`",
	} {
		config := keysOf(map[string]string{"azs": azs})
		_, err := pulumitest.Update(half, program(binary(t, "a release"), &fakeRoller{}), "test", t.TempDir(), config)
		if (err != nil) != (refused != "") || err != nil && !strings.Contains(err.Error(), refused) {
			t.Errorf("azs %q: %v", azs, err)
		}
	}
	// Today's answer of AWS puts the zone of the other subnet at the free place.
	c := Config{AZCount: 2}
	var said []string
	c.refuseZones(func(f string, args ...any) { said = append(said, fmt.Sprintf(f, args...)) },
		[]string{"", "eu-central-1b"}, []string{"eu-central-1b", "eu-central-1c"})
	if len(said) != 1 || !strings.Contains(said[0], "imagery:azs ZONE,eu-central-1b`") {
		t.Errorf("%q", said)
	}
}

// What protects instances and data that exist cannot be overruled.
func TestPreflightWarnDoesNotDisarmRefusals(t *testing.T) {
	g, err := updated(t, &fakeRoller{}, devBase, map[string]string{"vpcCidr": "10.43.0.0/16", "preflight": "warn"})
	if err == nil || !strings.Contains(err.Error(), "AWS cannot change it") || awsResources(g) > 0 {
		t.Errorf("%v, %d resources", err, awsResources(g))
	}
}

// A problem of the account ends an up and a preview before the first resource; it may be overruled.
func TestPreflightProblems(t *testing.T) {
	r := &fakeRoller{report: preflight.Report{
		Problems: []string{"no room"}, Warnings: []string{"old"}, Notes: []string{"fine"}}}
	for what, run := range map[string]func(pulumi.RunFunc, string, string, map[string]string) (*pulumitest.Graph, error){
		"up": pulumitest.Run, "preview": pulumitest.Preview,
	} {
		g, err := run(program(binary(t, "a release"), r), "test", t.TempDir(), keysOf(nil))
		if err == nil || !strings.Contains(err.Error(), "these are warnings):\n  - no room") || awsResources(g) > 0 {
			t.Errorf("%s: %v, %d resources", what, err, awsResources(g))
		}
	}
	warn := keysOf(map[string]string{"preflight": "warn"})
	g, err := pulumitest.Run(program(binary(t, "a release"), r), "test", t.TempDir(), warn)
	if err != nil || awsResources(g) == 0 {
		t.Errorf("overruled: %v", err)
	}
}
