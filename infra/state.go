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

// stateResource is a resource as the last update left it in Pulumi's state.
type stateResource struct {
	kind    string // type token
	urn     string
	outputs map[string]any
}

func (r stateResource) text(key string) string {
	s, _ := r.outputs[key].(string)
	return s
}

// readState returns the stack's resources from Pulumi's state. AWS cannot be asked instead: it does not tell them from
// those of another stack of the same name. Pulumi's engine answers the call, as for stack references.
func readState(ctx *pulumi.Context) ([]stateResource, error) {
	var out struct {
		Outputs map[string]any `pulumi:"outputs"`
	}
	name := fmt.Sprintf("%s/%s/%s", ctx.Organization(), ctx.Project(), ctx.Stack())
	args := struct {
		StackName string `pulumi:"stackName"`
	}{name}
	// Raw: with a plain Invoke one secret in the state, such as aws:secretKey, would be an error.
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

// maxZones is the most that imagery:azCount takes.
const maxZones = 3

// priorState holds what Pulumi's state says about the stack.
type priorState struct {
	preflight.State
	living *living // nil: the stack has no network yet
}

// stateOf extracts from resources what an update is compared with.
func stateOf(resources []stateResource) priorState {
	var f priorState
	var old living
	nats, private := 0, false
	for _, r := range resources {
		switch r.kind {
		case "aws:ec2/vpc:Vpc":
			old.VPCCIDR, _ = netip.ParsePrefix(r.text("cidrBlock"))
			f.living = &old
		case "aws:ec2/subnet:Subnet": // the end of its name is its place
			_, place, private := strings.Cut(r.urn[strings.LastIndex(r.urn, "::")+2:], "-private-")
			if i, err := strconv.Atoi(place); private && err == nil && i < maxZones {
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
		return f // no instance runs that could lose its way out
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
		text := fmt.Sprintf("not checked: whether this update can change the stack: %v", err)
		if err := ctx.Log.Warn(text, nil); err != nil {
			return err
		}
	}
	if was.living != nil {
		// Not to be overruled: running instances and the data are at stake.
		if bad := cfg.refusals(*was.living, s.place.Zones); len(bad) > 0 {
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
		return ctx.Log.Warn(err.Error()+"\nimagery:preflight is \"warn\": going on", nil)
	} else if err != nil {
		return err
	}
	return nil
}

// wanted describes the stack for the preflight.
func (s *Stack) wanted() preflight.Stack {
	cfg := s.cfg
	want := preflight.Stack{Project: cfg.Project, Stack: cfg.Stack, AccountID: s.place.AccountID, Region: cfg.Region,
		Together: cfg.Rollout == "start", Arch: cfg.Arch, Zones: s.place.Zones,
		ZonesPinned: len(cfg.AZs) > 0, NATs: network.NATs(cfg.Egress, len(s.place.Zones)),
		Rules: edge.InboundRules(len(cfg.AllowedCIDRs), cfg.CertificateARN),
		Image: s.place.Image, ImageFrozen: cfg.imageFrozen()}
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
