package main

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/app/deploy/instances"
	"imagery/app/deploy/settings"
	"imagery/infra/compute"
	"imagery/infra/edge"
	"imagery/infra/network"
	"imagery/infra/preflight"
)

// stateResource is a resource in Pulumi's state.
type stateResource struct {
	kind    string // type token
	urn     string
	outputs map[string]any
}

func (r stateResource) text(key string) string {
	s, _ := r.outputs[key].(string)
	return s
}

// readState returns the stack's resources from Pulumi's state, with the call that stack references use. AWS cannot
// answer this: it does not know whether a resource belongs to this stack or to another one of the same name.
func readState(ctx *pulumi.Context) ([]stateResource, error) {
	var out struct {
		Outputs map[string]any `pulumi:"outputs"`
	}
	name := fmt.Sprintf("%s/%s/%s", ctx.Organization(), ctx.Project(), ctx.Stack())
	args := struct {
		StackName string `pulumi:"stackName"`
	}{name}
	// Invoke would return an error if the state contains a secret, such as aws:secretKey.
	if _, err := ctx.InvokePackageRaw("pulumi:pulumi:readStackResourceOutputs", &args, &out, ""); err != nil {
		return nil, fmt.Errorf("read the state of stack %s: %w", name, err)
	}
	var found []stateResource
	for _, urn := range slices.Sorted(maps.Keys(out.Outputs)) {
		r, _ := out.Outputs[urn].(map[string]any)
		kind, _ := r["type"].(string)
		outputs, _ := r["outputs"].(map[string]any)
		found = append(found, stateResource{kind, urn, outputs})
	}
	return found, nil
}

// maxZones is the maximum of imagery:azCount.
const maxZones = 3

// deployed describes the stack as the last update left it.
type deployed struct {
	preflight.State
	VPCCIDR netip.Prefix   // invalid: there is no network
	Egress  network.Egress // "": no instance runs
	Arch    string         // "": there is no launch template
}

// stateOf returns the deployed stack that resources describe.
func stateOf(resources []stateResource) deployed {
	var old deployed
	nats, private := 0, false
	for _, r := range resources {
		switch r.kind {
		case "aws:ec2/vpc:Vpc":
			old.VPCCIDR, _ = netip.ParsePrefix(r.text("cidrBlock"))
		case "aws:ec2/subnet:Subnet": // its name ends with its index
			_, index, private := strings.Cut(r.urn[strings.LastIndex(r.urn, "::")+2:], "-private-")
			if i, err := strconv.Atoi(index); private && err == nil && i < maxZones {
				for len(old.Zones) <= i {
					old.Zones = append(old.Zones, "")
				}
				old.Zones[i] = r.text("availabilityZone")
			}
		case "aws:autoscaling/group:Group":
			old.Groups = append(old.Groups, r.text("name"))
		case "aws:ec2/launchTemplate:LaunchTemplate":
			old.Templates, old.Image = append(old.Templates, r.text("name")), r.text("imageId")
			old.Arch = instances.Types[r.text("instanceType")].Arch
		case "aws:ec2/natGateway:NatGateway":
			nats++
		case "aws:ec2/vpcEndpoint:VpcEndpoint":
			private = private || r.text("vpcEndpointType") == "Interface"
		}
	}
	if len(old.Groups) == 0 {
		return old // no instance runs that could lose its connection to AWS
	}
	switch {
	case private:
		old.Egress = network.Endpoints
	case nats > 1:
		old.Egress = network.NATPerAZ
	case nats == 1:
		old.Egress = network.NAT
	default:
		old.Egress = network.Public
	}
	return old
}

// checkFirst runs the preflight and compares the configuration with the state, before the first resource and in
// previews too.
func (s *Stack) checkFirst(ctx *pulumi.Context, roller Roller) error {
	cfg := s.cfg
	resources, err := readState(ctx)
	was := stateOf(resources)
	if err != nil {
		was.Unreadable = true
		text := fmt.Sprintf("not checked: whether this update can change the deployed stack: %v", err)
		if err := logAll(ctx.Log.Warn, text); err != nil {
			return err
		}
	}
	// imagery:preflight warn does not overrule these: running instances and the data would be lost.
	if bad := cfg.refusals(was, s.location.Zones); len(bad) > 0 {
		return &ConfigError{bad}
	}
	report, err := roller.Preflight(ctx.Context(), s.awsSettings(), s.wanted(), was.State)
	if err != nil {
		return err
	}
	if err := cmp.Or(logAll(ctx.Log.Warn, report.Warnings...), logAll(ctx.Log.Info, report.Notes...)); err != nil {
		return err
	}
	err = report.Err()
	if err != nil && cfg.Preflight == "warn" {
		return logAll(ctx.Log.Warn, err.Error()+"\nimagery:preflight is \"warn\": the update continues")
	}
	return err
}

func logAll(log func(string, *pulumi.LogArgs) error, texts ...string) error {
	for _, text := range texts {
		if err := log(text, nil); err != nil {
			return err
		}
	}
	return nil
}

// wanted describes the stack for the preflight.
func (s *Stack) wanted() preflight.Stack {
	cfg := s.cfg
	want := preflight.Stack{Project: cfg.Project, Stack: cfg.Stack, AccountID: s.location.AccountID, Region: cfg.Region,
		Together: cfg.Rollout == "start", Arch: cfg.Arch, Zones: s.location.Zones,
		ZonesPinned: len(cfg.AZs) > 0, NATs: network.NATs(cfg.Egress, len(s.location.Zones)),
		Rules: edge.InboundRules(len(cfg.AllowedCIDRs), cfg.CertificateARN),
		Image: s.location.Image, ImageFrozen: cfg.imageFrozen()}
	for _, role := range []settings.Role{settings.Server, settings.Worker} {
		f := cfg.fleet(role)
		want.Fleets = append(want.Fleets, preflight.Fleet{Role: string(role), Name: cfg.groupName(role),
			Type: f.instance, VCPUs: instances.Types[f.instance].Cores, Min: f.least, Max: f.most,
			MaxHealthy: compute.MaxHealthyPercent(f.least)})
	}
	return want
}
