package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

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

// readState returns the resources of this stack from Pulumi's own state. AWS could not tell them from those of another
// stack of the same name. The engine answers the call itself, as it does for stack references.
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

// stateOf picks what a preflight compares.
func stateOf(resources []stateResource) preflight.State {
	var s preflight.State
	nats, private := 0, false
	for _, r := range resources {
		switch r.kind {
		case "aws:ec2/vpc:Vpc":
			s.CIDR = r.text("cidrBlock")
		case "aws:ec2/subnet:Subnet": // sorted by name, and so by place
			if strings.Contains(r.urn[strings.LastIndex(r.urn, "::")+2:], "-private-") {
				s.Zones = append(s.Zones, r.text("availabilityZone"))
			}
		case "aws:autoscaling/group:Group":
			s.Groups = append(s.Groups, r.text("name"))
		case "aws:ec2/launchTemplate:LaunchTemplate":
			s.Templates, s.Image = append(s.Templates, r.text("name")), r.text("imageId")
		case "aws:ec2/natGateway:NatGateway":
			nats++
		case "aws:ec2/vpcEndpoint:VpcEndpoint":
			private = private || r.text("vpcEndpointType") == "Interface"
		}
	}
	switch {
	case s.CIDR == "" || len(s.Groups) == 0: // no instance runs yet
	case private:
		s.Egress = string(network.Endpoints)
	case nats > 1:
		s.Egress = string(network.NATPerAZ)
	case nats == 1:
		s.Egress = string(network.NAT)
	default:
		s.Egress = string(network.Public)
	}
	return s
}
