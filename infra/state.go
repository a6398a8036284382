package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

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
	for urn, v := range out.Outputs {
		r, _ := v.(map[string]any)
		kind, _ := r["type"].(string)
		outputs, _ := r["outputs"].(map[string]any)
		found = append(found, stateResource{kind, urn, outputs})
	}
	slices.SortFunc(found, func(a, b stateResource) int { return strings.Compare(a.urn, b.urn) })
	return found, nil
}

// maxZones is the maximum of imagery:azCount.
const maxZones = 3

// priorState describes the stack as the last update left it.
type priorState struct {
	preflight.State
	deployed *deployed // nil: the stack has no network yet
}

// stateOf returns the prior state that resources describe.
func stateOf(resources []stateResource) priorState {
	var f priorState
	var old deployed
	nats, private := 0, false
	for _, r := range resources {
		switch r.kind {
		case "aws:ec2/vpc:Vpc":
			old.VPCCIDR, _ = netip.ParsePrefix(r.text("cidrBlock"))
			f.deployed = &old
		case "aws:ec2/subnet:Subnet": // its name ends with its index
			_, index, private := strings.Cut(r.urn[strings.LastIndex(r.urn, "::")+2:], "-private-")
			if i, err := strconv.Atoi(index); private && err == nil && i < maxZones {
				for len(f.Zones) <= i {
					f.Zones = append(f.Zones, "")
				}
				f.Zones[i] = r.text("availabilityZone")
			}
		case "aws:autoscaling/group:Group":
			f.Groups = append(f.Groups, r.text("name"))
		case "aws:ec2/launchTemplate:LaunchTemplate":
			f.Templates, f.Image = append(f.Templates, r.text("name")), r.text("imageId")
			old.Arch = instanceTypes[r.text("instanceType")].arch
		case "aws:ec2/natGateway:NatGateway":
			nats++
		case "aws:ec2/vpcEndpoint:VpcEndpoint":
			private = private || r.text("vpcEndpointType") == "Interface"
		}
	}
	if old.Zones = f.Zones; len(f.Groups) == 0 {
		return f // no instance runs that could lose its connection to AWS
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
	return f
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
		if err := ctx.Log.Warn(text, nil); err != nil {
			return err
		}
	}
	if was.deployed != nil {
		// imagery:preflight warn does not overrule these: running instances and the data would be lost.
		if bad := cfg.refusals(*was.deployed, s.location.Zones); len(bad) > 0 {
			return &ConfigError{bad}
		}
	}
	report, err := roller.Preflight(ctx.Context(), s.awsSettings(), s.wanted(), was.State)
	if err != nil {
		return err
	}
	for _, w := range report.Warnings {
		if err := ctx.Log.Warn(w, nil); err != nil {
			return err
		}
	}
	for _, n := range report.Notes {
		if err := ctx.Log.Info(n, nil); err != nil {
			return err
		}
	}
	if err := report.Err(); err != nil && cfg.Preflight == "warn" {
		return ctx.Log.Warn(err.Error()+"\nimagery:preflight is \"warn\": the update continues", nil)
	} else if err != nil {
		return err
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
	for _, f := range []struct {
		role        settings.Role
		kind        string
		least, most int
	}{
		{settings.Server, cfg.ServerType, cfg.ServerMin, cfg.ServerMax},
		{settings.Worker, cfg.WorkerType, cfg.WorkerMin, cfg.WorkerMax},
	} {
		want.Fleets = append(want.Fleets, preflight.Fleet{Role: string(f.role), Group: cfg.groupName(f.role),
			Template: cfg.groupName(f.role), Type: f.kind, VCPUs: instanceTypes[f.kind].cores, Min: f.least, Max: f.most,
			MaxHealthy: compute.MaxHealthyPercent(f.least)})
	}
	return want
}
