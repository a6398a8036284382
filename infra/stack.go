package main

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/app/deploy/iam"
	"imagery/app/deploy/settings"
	"imagery/infra/alarms"
	"imagery/infra/compute"
	"imagery/infra/data"
	"imagery/infra/edge"
	"imagery/infra/network"
	"imagery/infra/release"
)

// Stack is everything that was built, in the order in which it was.
type Stack struct {
	cfg    Config
	place  Place          // what AWS said
	binary release.Binary // what will run

	// Components, each only of those above it. The rollout comes last: it needs the fleets and the alarms that
	// judge it.
	network   *network.Network
	storage   *data.Storage
	messaging *data.Messaging
	object    pulumi.Resource // the release in its bucket
	edge      *edge.Edge
	server    *compute.Fleet
	worker    *compute.Fleet
	alarms    *alarms.Alarms
	outcome   map[settings.Role]pulumi.StringInput // of the rollout
}

// Build makes a stack. What can be refused is refused before the first resource: the configuration by the
// caller, the source by the compiler, the place by AWS's answers.
func Build(ctx *pulumi.Context, cfg Config, builder release.Builder, roller Roller) (*Stack, error) {
	s := &Stack{cfg: cfg}
	var err error
	if s.binary, err = release.Make(ctx, builder, cfg.Arch); err != nil {
		return nil, err
	}
	// An explicit provider, so that nothing is ever made without the tags that tell stacks apart.
	provider, err := aws.NewProvider(ctx, "aws", cfg.AWS.provider(cfg.tags()))
	if err != nil {
		return nil, err
	}
	if s.place, err = lookUp(ctx, cfg, pulumi.Provider(provider)); err != nil {
		return nil, err
	}
	if err := s.checkFirst(ctx, roller); err != nil {
		return nil, err
	}
	// From here on resources are registered.
	for _, step := range []func(*pulumi.Context, pulumi.ResourceOption) error{
		s.buildGround, s.shipRelease, s.buildFleets, s.watch,
	} {
		if err := step(ctx, pulumi.Provider(provider)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// buildGround makes what outlives every release.
func (s *Stack) buildGround(ctx *pulumi.Context, in pulumi.ResourceOption) (err error) {
	cfg, name := s.cfg, s.cfg.Name()
	// Access logs are kept as long as the others.
	storage := &data.StorageArgs{Protect: cfg.ProtectData, UploadExpireDays: cfg.UploadExpireDays}
	if cfg.AccessLogs {
		storage.AccessLogs = &data.AccessLogArgs{AccountID: s.place.AccountID, DeliveryRoot: s.place.AccessLogRoot, Days: cfg.LogRetentionDays}
	}
	if s.storage, err = data.NewStorage(ctx, name, storage, in); err != nil {
		return err
	}
	if s.messaging, err = data.NewMessaging(ctx, name, &data.MessagingArgs{
		Protect: cfg.ProtectData, Visibility: settings.QueueVisibility, MaxReceives: settings.QueueMaxReceives,
	}, in); err != nil {
		return err
	}
	// After the data, since the policies of its endpoints name it.
	policies, err := s.endpointPolicies()
	if err != nil {
		return err
	}
	if s.network, err = network.New(ctx, name, &network.Args{
		Region: cfg.Region, CIDR: cfg.VPCCIDR, Zones: s.place.Zones, ZonesPinned: len(cfg.AZs) > 0,
		Egress: cfg.Egress, SSM: cfg.SSM, Policies: policies,
	}, in); err != nil {
		return err
	}
	args := &edge.Args{
		VPC: s.network.VPC.ID(), Subnets: network.IDs(s.network.Public), AllowedCIDRs: cfg.AllowedCIDRs, Certificate: cfg.CertificateARN,
		Port: release.Port, Protect: cfg.ProtectData, After: s.network.Ready(),
	}
	if s.storage.Logs != nil {
		args.LogBucket, args.After = s.storage.Logs.Bucket.ID(), slices.Concat(args.After, s.storage.Logs.Ready())
	}
	s.edge, err = edge.New(ctx, name, args, in)
	return err
}

// shipRelease uploads the binary under its hash.
func (s *Stack) shipRelease(ctx *pulumi.Context, in pulumi.ResourceOption) (err error) {
	s.object, err = s.binary.Upload(ctx, s.cfg.Name()+"-release", s.storage.Releases.Bucket.ID(), in, pulumi.DependsOn(s.storage.Releases.Ready()))
	return err
}

// buildFleets makes the instances of both roles, after all that their first minute needs.
func (s *Stack) buildFleets(ctx *pulumi.Context, in pulumi.ResourceOption) (err error) {
	// Servers come after their door, workers need none.
	ready := slices.Concat(s.network.Ready(), s.storage.Ready(), s.messaging.Ready(), []pulumi.Resource{s.object})
	server := s.fleet(settings.Server, s.cfg.ServerType)
	server.Min, server.Max = s.cfg.ServerMin, s.cfg.ServerMax
	server.Ingress = &compute.Ingress{From: s.edge.SecurityGroup.ID(), Port: release.Port}
	server.Targets = pulumi.StringArray{s.edge.Targets.Arn}
	server.Scaling = compute.RequestsPerTarget(pulumi.Sprintf("%s/%s", s.edge.Balancer.ArnSuffix, s.edge.Targets.ArnSuffix), s.cfg.RequestsPerTarget)
	server.After = slices.Concat(ready, s.edge.Ready())

	worker := s.fleet(settings.Worker, s.cfg.WorkerType)
	worker.Min, worker.Max = s.cfg.WorkerMin, s.cfg.WorkerMax
	worker.Scaling = compute.BacklogPerInstance(s.messaging.Queue.Name, s.cfg.BacklogPerWorker)
	worker.After = ready

	for _, f := range []struct {
		args *compute.Args
		at   **compute.Fleet
	}{{worker, &s.worker}, {server, &s.server}} {
		if *f.at, err = compute.New(ctx, f.args.Group, f.args, in); err != nil {
			return err
		}
	}
	return nil
}

// fleet returns the arguments that both roles share.
func (s *Stack) fleet(role settings.Role, kind string) *compute.Args {
	cfg, group := s.cfg, s.cfg.groupName(role)
	// The names of group and log group are decided here, since rights and user-data name them before they exist.
	args := &compute.Args{
		Role: string(role), Group: group, LogGroup: cfg.logGroup(role), LogDays: cfg.LogRetentionDays, Tags: cfg.tags(),
		Boundary: cfg.Boundary,
		VPC:      s.network.VPC.ID(), Subnets: s.network.InstanceSubnets(),
		Egress:       compute.Egress{Gateways: map[string]pulumi.StringInput{}},
		InstanceType: kind, Burstable: instanceTypes[kind].burstable,
		Image: s.place.Image, ImageFrozen: cfg.imageFrozen(),
		UserData: s.userData(role, kind), Grants: s.grants(role), Resources: s.resources(role),
	}
	for i, name := range network.Services(network.Public, false) {
		args.Egress.Gateways[name] = s.network.Gateways[i].PrefixListId
	}
	if g := s.network.EndpointGroup; g != nil {
		args.Egress.Endpoints = g.ID()
	}
	return args
}

// grants lists what an instance of a role may call. The policies of its role and of the network's endpoints are both
// rendered from it.
func (s *Stack) grants(role settings.Role) []compute.Grant {
	calls, retired := iam.Server, iam.Retired.Server
	if role == settings.Worker {
		calls, retired = iam.Worker, iam.Retired.Worker
	}
	boot := slices.Concat(iam.Boot, iam.Retired.Boot)
	if s.cfg.SSM {
		boot = append(boot, iam.Sessions...)
	}
	return []compute.Grant{
		{Name: "calls", Calls: slices.Concat(calls, iam.Selftest)},
		{Name: "retired", Calls: retired},
		{Name: "boot", Calls: boot},
	}
}

// resources returns the ARN of each resource that the grants of a role name.
func (s *Stack) resources(role settings.Role) map[iam.Resource]pulumi.StringInput {
	return map[iam.Resource]pulumi.StringInput{
		iam.Table: s.storage.Table.Arn, "bucket": s.storage.Images.Bucket.Arn, "releases": s.storage.Releases.Bucket.Arn,
		iam.Queue: s.messaging.Queue.Arn, iam.DeadLetters: s.messaging.DeadLetters.Arn,
		iam.Group: pulumi.String(s.arn("autoscaling", "autoScalingGroup:*:autoScalingGroupName/"+s.cfg.groupName(role))),
		iam.Logs:  pulumi.String(s.arn("logs", "log-group:"+s.cfg.logGroup(role)+":*")),
	}
}

// userData is the one place where outputs become the text that an instance reads.
func (s *Stack) userData(role settings.Role, kind string) pulumi.StringOutput {
	cfg := s.cfg
	return pulumi.All(s.storage.Table.Name, s.storage.Images.Bucket.ID(), s.storage.Releases.Bucket.ID(), s.messaging.Queue.Url, s.messaging.DeadLetters.Url).
		ApplyT(func(v []any) (string, error) {
			return release.UserData(release.Boot{
				// What is left out has the same default there as here.
				Settings: settings.Settings{
					Role: role, Listen: fmt.Sprint(release.Port), Table: v[0].(string), Bucket: string(v[1].(pulumi.ID)),
					QueueURL: v[3].(string), DLQURL: v[4].(string), Stack: cfg.Stack, Consume: true,
					UploadLife: time.Duration(cfg.UploadExpireDays) * 24 * time.Hour, Memory: instanceTypes[kind].budget(),
					PhotoMemory: instanceTypes[cfg.WorkerType].photoMemory(),
				},
				GCLimit: instanceTypes[kind].gcLimit(), Region: cfg.Region, Group: cfg.groupName(role), Hook: compute.LaunchHook, TerminateHook: compute.TerminateHook,
				Bucket: string(v[2].(pulumi.ID)), Key: s.binary.Key(), SHA: s.binary.SHA, LogGroup: cfg.logGroup(role), SSM: cfg.SSM,
				Retry: time.Duration(cfg.BootRetrySeconds) * time.Second, Egress: string(cfg.Egress),
			})
		}).(pulumi.StringOutput)
}

// watch makes the alarms, when all that they look at exists.
func (s *Stack) watch(ctx *pulumi.Context, in pulumi.ResourceOption) (err error) {
	s.alarms, err = alarms.Watch(ctx, s.cfg.Name(), alarms.Watched{
		Stack: s.cfg.Stack, Region: s.cfg.Region, AccountID: s.place.AccountID, Partition: s.place.Partition, Email: s.cfg.AlarmEmail,
		Balancer: s.edge.Balancer.ArnSuffix, Targets: s.edge.Targets.ArnSuffix, TargetGroup: s.edge.Targets.Arn,
		Queue: s.messaging.Queue.Name, DeadLetters: s.messaging.DeadLetters.Name, QueueURL: s.messaging.Queue.Url,
		Table: s.storage.Table.Name, Bucket: s.storage.Images.Bucket.ID(),
		ServerGroup: s.server.Group.Name, WorkerGroup: s.worker.Group.Name, ServerMin: s.cfg.ServerMin, WorkerMin: s.cfg.WorkerMin,
		ServerLogs: s.server.LogGroup.Name, WorkerLogs: s.worker.LogGroup.Name,
	}, in)
	return err
}

// awsSettings returns the settings of SDK clients, bound to the provider's account.
func (s *Stack) awsSettings() AWSSettings {
	a := s.cfg.AWS
	a.AccountID = s.place.AccountID
	return a
}

// arn names something of this account and region before it exists.
func (s *Stack) arn(service, rest string) string {
	return fmt.Sprintf("arn:%s:%s:%s:%s:%s", s.place.Partition, service, s.cfg.Region, s.place.AccountID, rest)
}

// imageFrozen reports whether a looked-up image counts only for launch templates that do not exist yet.
func (c Config) imageFrozen() bool { return c.AMIID == "" && !c.AMIFollow }

func (c Config) groupName(role settings.Role) string { return c.Name() + "-" + string(role) }

func (c Config) logGroup(role settings.Role) string {
	return fmt.Sprintf("/%s/%s/%s", c.Project, c.Stack, role)
}

// tags returns the tags of every resource: those that the user wants, and those of the program, which win.
func (c Config) tags() map[string]string {
	all := map[string]string{}
	for _, tags := range []map[string]string{c.AWS.DefaultTags, c.Tags, c.ownTags()} {
		maps.Copy(all, tags)
	}
	return all
}

// ownTags tell stacks apart. Nothing that changes by itself may stand here: every resource would change with it.
func (c Config) ownTags() map[string]string {
	return map[string]string{"project": c.Project, "stack": c.Stack, "managed-by": "pulumi"}
}

func optional(s string) pulumi.StringPtrInput {
	if s == "" {
		return nil
	}
	return pulumi.String(s)
}
