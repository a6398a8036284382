// Package pulumitest runs a Pulumi program without an engine and records the resources that it registers.
package pulumitest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Run runs a program with a configuration and returns its graph. If the program fails, the graph has the resources that
// were registered before.
func Run(program pulumi.RunFunc, stack, root string, config map[string]string) (*Graph, error) {
	return run(&recorder{}, program, stack, root, config)
}

// Preview runs a program as a first preview does: outputs that the cloud computes are unknown.
func Preview(program pulumi.RunFunc, stack, root string, config map[string]string) (*Graph, error) {
	return run(&recorder{preview: true}, program, stack, root, config)
}

// Update runs a program on a stack whose state is before.
func Update(before *Graph, program pulumi.RunFunc, stack, root string, config map[string]string) (*Graph, error) {
	return run(&recorder{before: before}, program, stack, root, config)
}

func run(r *recorder, program pulumi.RunFunc, stack, root string, config map[string]string) (*Graph, error) {
	err := pulumi.RunErr(program, pulumi.WithMocks("imagery", stack, r), func(i *pulumi.RunInfo) {
		i.Config, i.RootDirectory, i.DryRun = config, root, r.preview
	})
	slices.SortFunc(r.resources, func(a, b *Resource) int { return strings.Compare(a.URN(), b.URN()) })
	return &Graph{Resources: r.resources}, err
}

// Mark returns the value of a computed property in the mock cloud. It contains the resource's name, so that a test
// recognises it in other resources.
func Mark(kind, name, property string) string {
	short := kind[strings.LastIndex(kind, ":")+1:]
	return fmt.Sprintf("%s.%s.%s", short, name, property)
}

// ID returns the id of a resource in the mock cloud.
func ID(kind, name string) string { return Mark(kind, name, "id") }

type recorder struct {
	preview   bool
	before    *Graph // state of the stack; nil: empty
	mu        sync.Mutex
	resources []*Resource
}

// computed lists the properties that the cloud computes, by type. Each gets its mark.
var computed = map[string][]string{
	"aws:ec2/vpcEndpoint:VpcEndpoint":         {"prefixListId"},
	"aws:ec2/eip:Eip":                         {"allocationId"},
	"aws:lb/loadBalancer:LoadBalancer":        {"arn", "arnSuffix", "dnsName"},
	"aws:lb/targetGroup:TargetGroup":          {"arn", "arnSuffix"},
	"aws:sqs/queue:Queue":                     {"arn", "url"},
	"aws:sns/topic:Topic":                     {"arn"},
	"aws:dynamodb/table:Table":                {"arn"},
	"aws:s3/bucketV2:BucketV2":                {"arn", "bucket"},
	"aws:iam/instanceProfile:InstanceProfile": {"arn"},
	"aws:cloudwatch/logGroup:LogGroup":        {"arn"},
}

// NewResource records a registration and returns the resource's inputs with the computed properties.
func (r *recorder) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	id := ID(args.TypeToken, args.Name)
	rpc := args.RegisterRPC
	made := &Resource{Type: args.TypeToken, Name: args.Name, ID: id, Inputs: args.Inputs.Mappable(),
		Provider: args.Provider, Parent: rpc.GetParent(), Dependencies: rpc.GetDependencies(),
		Ignore: rpc.GetIgnoreChanges(), Protect: rpc.GetProtect(), DeleteBeforeReplace: rpc.GetDeleteBeforeReplace(),
		RetainOnDelete: rpc.GetRetainOnDelete(), DeleteTimeout: rpc.GetCustomTimeouts().GetDelete()}
	r.mu.Lock()
	r.resources = append(r.resources, made)
	r.mu.Unlock()

	state := args.Inputs.Copy()
	if r.preview {
		return "", state, nil
	}
	if _, named := state["name"]; !named {
		state["name"] = resource.NewProperty(Mark(args.TypeToken, args.Name, "name"))
	}
	for _, p := range computed[args.TypeToken] {
		state[resource.PropertyKey(p)] = resource.NewProperty(Mark(args.TypeToken, args.Name, p))
	}
	switch args.TypeToken {
	case "aws:ec2/launchTemplate:LaunchTemplate":
		state["latestVersion"] = resource.NewProperty(7.0)
	case "aws:sns/topicSubscription:TopicSubscription":
		state["pendingConfirmation"] = resource.NewProperty(true)
	}
	return id, state, nil
}

// Call answers the data source calls of the program. Any other call is an error.
func (r *recorder) Call(args pulumi.MockCallArgs) (resource.PropertyMap, error) {
	if args.Token == "pulumi:pulumi:readStackResourceOutputs" {
		return r.state(args.Args["stackName"].StringValue())
	}
	answer := map[string]map[string]any{
		"aws:index/getCallerIdentity:getCallerIdentity": {"accountId": "111122223333"},
		"aws:index/getPartition:getPartition":           {"partition": "aws"},
		"aws:ssm/getParameter:getParameter":             {"insecureValue": "ami-0123456789abcdef0"},
		"aws:elb/getServiceAccount:getServiceAccount":   {"arn": "arn:aws:iam::127311923021:root"},
		"aws:index/getAvailabilityZones:getAvailabilityZones": {
			"names": []any{"eu-central-1d", "eu-central-1c", "eu-central-1b", "eu-central-1a"},
		},
		"aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings": offers(args.Args),
	}[args.Token]
	if answer == nil {
		return nil, fmt.Errorf("the mock cloud has no answer to %s", args.Token)
	}
	return resource.NewPropertyMapFromMap(answer), nil
}

// state returns the stack's own state, as the engine does.
func (r *recorder) state(stack string) (resource.PropertyMap, error) {
	if strings.Count(stack, "/") != 2 {
		return nil, fmt.Errorf("the engine wants organization/project/stack, not %q", stack)
	}
	outputs := map[string]any{}
	if r.before != nil {
		for _, made := range r.before.Resources {
			urn := "urn:pulumi:" + stack + "::imagery::" + made.URN()
			outputs[urn] = map[string]any{"type": made.Type, "outputs": maps.Clone(made.Inputs)}
		}
	}
	return resource.NewPropertyMapFromMap(map[string]any{"name": stack, "outputs": outputs}), nil
}

// ScarceType is offered in one zone of the mock cloud only.
const ScarceType = "c8g.large"

// offers answers getInstanceTypeOfferings. The first zone lacks one of the types, as some real ones do.
func offers(args resource.PropertyMap) map[string]any {
	filters, ok := args.Mappable()["filters"].([]any)
	if !ok {
		return map[string]any{}
	}
	types := filters[0].(map[string]any)["values"].([]any)
	locations, offered := []any{"eu-central-1a"}, []any{types[0]}
	for _, zone := range []string{"eu-central-1b", "eu-central-1c", "eu-central-1d"} {
		for _, t := range types {
			if t != ScarceType || zone == "eu-central-1b" {
				locations, offered = append(locations, zone), append(offered, t)
			}
		}
	}
	return map[string]any{"locations": locations, "instanceTypes": offered}
}
