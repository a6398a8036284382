package main

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/app/deploy/iam"
	"imagery/app/deploy/instances"
	"imagery/app/deploy/settings"
	"imagery/infra/alarms"
	"imagery/infra/compute"
	"imagery/infra/data"
	"imagery/infra/edge"
	"imagery/infra/must"
	"imagery/infra/network"
	"imagery/infra/release"
)

// Stack holds the components of a stack.
type Stack struct {
	cfg      Config
	location Location
	binary   release.Binary

	// Each component depends only on those above it. The rollout comes last: it needs the fleets, and the alarms that
	// stop it.
	network   *network.Network
	storage   *data.Storage
	messaging *data.Messaging
	object    pulumi.Resource // the release in its bucket
	edge      *edge.Edge
	server    *compute.Fleet
	worker    *compute.Fleet
	alarms    *alarms.Alarms
	outcome   pulumi.StringMapOutput // result of the rollout, by role
}

// Build creates the resources of a stack. It compiles the binary, asks AWS and runs the preflight before it registers
// the first resource, so that most errors leave AWS unchanged.
func Build(ctx *pulumi.Context, cfg Config, builder release.Builder, roller Roller) (*Stack, error) {
	s := &Stack{cfg: cfg}
	var err error
	if s.binary, err = release.Make(ctx, builder, cfg.Arch); err != nil {
		return nil, err
	}
	// An explicit provider: its default tags tell the resources of this stack from those of others.
	provider := must.Get(aws.NewProvider(ctx, "aws", cfg.AWS.provider(cfg.tags())))
	if s.location, err = lookUp(ctx, cfg, pulumi.Provider(provider)); err != nil {
		return nil, err
	}
	if err := s.checkFirst(ctx, roller); err != nil {
		return nil, err
	}
	in := pulumi.Provider(provider)
	s.createBase(ctx, in)
	s.object = s.binary.Upload(ctx, cfg.Name()+"-release", s.storage.Releases.Bucket.ID(), in,
		pulumi.DependsOn(s.storage.Releases.Ready))
	s.createFleets(ctx, in)
	s.createAlarms(ctx, in)
	return s, nil
}

// createBase creates what does not change with a release: storage, queues, network and load balancer.
func (s *Stack) createBase(ctx *pulumi.Context, in pulumi.ResourceOption) {
	cfg, name := s.cfg, s.cfg.Name()
	storage := &data.StorageArgs{Protect: cfg.ProtectData, UploadExpireDays: cfg.UploadExpireDays}
	if cfg.AccessLogs {
		storage.AccessLogs = &data.AccessLogArgs{AccountID: s.location.AccountID,
			DeliveryRoot: s.location.AccessLogRoot, Days: cfg.LogRetentionDays}
	}
	s.storage = data.NewStorage(ctx, name, storage, in)
	s.messaging = data.NewMessaging(ctx, name, cfg.ProtectData, in)
	// After the data, because the endpoint policies contain the ARNs.
	s.network = network.New(ctx, name, &network.Args{
		Region: cfg.Region, CIDR: cfg.VPCCIDR, Zones: s.location.Zones, ZonesPinned: len(cfg.AZs) > 0,
		Egress: cfg.Egress, SSM: cfg.SSM, Policy: s.endpointPolicy,
	}, in)
	args := &edge.Args{
		VPC: s.network.VPC.ID(), Subnets: network.IDs(s.network.Public), AllowedCIDRs: cfg.AllowedCIDRs,
		Certificate: cfg.CertificateARN, Port: release.Port, Protect: cfg.ProtectData, After: s.network.Ready,
	}
	if s.storage.Logs != nil {
		args.LogBucket, args.After = s.storage.Logs.Bucket.ID(), slices.Concat(args.After, s.storage.Logs.Ready)
	}
	s.edge = edge.New(ctx, name, args, in)
}

// createFleets creates the fleets of both roles, after everything that an instance needs to boot. Servers also need the
// load balancer.
func (s *Stack) createFleets(ctx *pulumi.Context, in pulumi.ResourceOption) {
	ready := slices.Concat(s.network.Ready, s.storage.Ready(),
		[]pulumi.Resource{s.messaging.Queue, s.messaging.DeadLetters, s.object})
	server := s.fleet(settings.Server)
	server.Peer, server.Port = s.edge.SecurityGroup.ID(), release.Port
	server.Targets = pulumi.StringArray{s.edge.Targets.Arn}
	targets := pulumi.Sprintf("%s/%s", s.edge.Balancer.ArnSuffix, s.edge.Targets.ArnSuffix)
	server.Scaling = compute.RequestsPerTarget(targets, s.cfg.RequestsPerTarget)
	server.After = slices.Concat(ready, s.edge.Ready)

	worker := s.fleet(settings.Worker)
	worker.Scaling = compute.BacklogPerInstance(s.messaging.Queue.Name, s.cfg.groupName(settings.Worker),
		s.cfg.BacklogPerWorker)
	worker.After = ready

	s.worker = compute.New(ctx, s.cfg.groupName(settings.Worker), worker, in)
	s.server = compute.New(ctx, s.cfg.groupName(settings.Server), server, in)
}

// fleet returns the arguments that both roles share.
func (s *Stack) fleet(role settings.Role) *compute.Args {
	cfg, size := s.cfg, s.cfg.fleet(role)
	return &compute.Args{
		Role: string(role), LogGroup: cfg.logGroup(role), LogDays: cfg.LogRetentionDays,
		Tags: cfg.tags(), Boundary: cfg.PermissionsBoundary,
		VPC: s.network.VPC.ID(), Subnets: s.network.InstanceSubnets(),
		Gateways: s.network.Gateways, Endpoints: s.network.EndpointGroup,
		InstanceType: size.instance, Burstable: instances.Types[size.instance].Burstable,
		Min: size.least, Max: size.most,
		Image: s.location.Image, ImageFrozen: cfg.imageFrozen(),
		UserData: s.userData(role, instances.Types[size.instance]), Grants: s.grants(role),
		Resources: s.resources(role),
	}
}

// grants lists the actions of the instances of a role. The policies of the role and of the VPC endpoints are rendered
// from it. Do not change the names: Pulumi would replace the policies of running instances.
func (s *Stack) grants(role settings.Role) []compute.Grant {
	actions, retired := iam.Server, iam.Retired.Server
	if role == settings.Worker {
		actions, retired = iam.Worker, iam.Retired.Worker
	}
	boot := slices.Concat(iam.Boot, iam.Retired.Boot)
	if s.cfg.SSM {
		boot = append(boot, iam.Sessions...)
	}
	return []compute.Grant{
		{Name: "calls", Actions: slices.Concat(actions, iam.Selftest)},
		{Name: "retired", Actions: retired},
		{Name: "boot", Actions: boot},
	}
}

// resources returns the ARN of each resource that the grants of a role name.
func (s *Stack) resources(role settings.Role) map[iam.Resource]pulumi.StringInput {
	return map[iam.Resource]pulumi.StringInput{
		iam.Table: s.storage.Table.Arn, iam.Queue: s.messaging.Queue.Arn, iam.DeadLetters: s.messaging.DeadLetters.Arn,
		iam.Bucket: s.storage.Images.Bucket.Arn, iam.ReleaseBucket: s.storage.Releases.Bucket.Arn,
		iam.Group: s.arn("autoscaling", "autoScalingGroup:*:autoScalingGroupName/"+s.cfg.groupName(role)),
		iam.Logs:  s.arn("logs", "log-group:"+s.cfg.logGroup(role)+":*"),
	}
}

// userData renders the user-data of the instances of a role once the names that it contains are known.
func (s *Stack) userData(role settings.Role, instance instances.Type) pulumi.StringOutput {
	cfg := s.cfg
	return pulumi.All(s.storage.Table.Name, s.storage.Images.Bucket.ID(), s.storage.Releases.Bucket.ID(),
		s.messaging.Queue.Url, s.messaging.DeadLetters.Url).ApplyT(func(v []any) (string, error) {
		return release.UserData(release.Boot{
			// Settings that are not set here keep the binary's defaults.
			Settings: settings.Settings{
				Role: role, Listen: fmt.Sprint(release.Port), Table: v[0].(string), Bucket: string(v[1].(pulumi.ID)),
				QueueURL: v[3].(string), DLQURL: v[4].(string), Stack: cfg.Stack, Consume: true,
				UploadLife: time.Duration(cfg.UploadExpireDays) * 24 * time.Hour, Memory: instance.Budget(),
				PhotoMemory: instances.Types[cfg.WorkerType].PhotoMemory(),
			},
			GCLimit: instance.GCLimit(), Region: cfg.Region, Group: cfg.groupName(role),
			Hook: compute.LaunchHook, TerminateHook: compute.TerminateHook,
			Bucket: string(v[2].(pulumi.ID)), Key: s.binary.Key(), SHA: s.binary.SHA,
			LogGroup: cfg.logGroup(role), SSM: cfg.SSM,
			Retry: time.Duration(cfg.BootRetrySeconds) * time.Second, Egress: string(cfg.Egress),
		})
	}).(pulumi.StringOutput)
}

// createAlarms creates the alarms, after everything that they watch.
func (s *Stack) createAlarms(ctx *pulumi.Context, in pulumi.ResourceOption) {
	s.alarms = alarms.Watch(ctx, s.cfg.Name(), alarms.Watched{
		Stack: s.cfg.Stack, Region: s.cfg.Region, AccountID: s.location.AccountID, Partition: s.location.Partition,
		Email: s.cfg.AlarmEmail, ServerMin: s.cfg.ServerMin, WorkerMin: s.cfg.WorkerMin,
		Names: pulumi.StringMap{
			"stack": pulumi.String(s.cfg.Stack), "table": s.storage.Table.Name, "bucket": s.storage.Images.Bucket.ID(),
			"queue": s.messaging.Queue.Name, "queueUrl": s.messaging.Queue.Url,
			"deadLetters": s.messaging.DeadLetters.Name, "balancer": s.edge.Balancer.ArnSuffix,
			"targets": s.edge.Targets.ArnSuffix, "targetGroup": s.edge.Targets.Arn,
			"serverGroup": s.server.Group.Name, "serverLogs": s.server.LogGroup.Name,
			"workerGroup": s.worker.Group.Name, "workerLogs": s.worker.LogGroup.Name,
		},
	}, in)
}

// awsSettings returns the settings of SDK clients, which then refuse any account but the provider's.
func (s *Stack) awsSettings() AWSSettings {
	a := s.cfg.AWS
	a.account = s.location.AccountID
	return a
}

// arn returns the ARN of a resource of this account and region, which need not exist yet.
func (s *Stack) arn(service, rest string) pulumi.String {
	l := s.location
	return pulumi.String(fmt.Sprintf("arn:%s:%s:%s:%s:%s", l.Partition, service, s.cfg.Region, l.AccountID, rest))
}

// imageFrozen reports whether a looked-up image is used only for launch templates that do not exist yet.
func (c Config) imageFrozen() bool { return c.AMIID == "" && !c.AMIFollow }

// fleet holds the configuration of the group of a role.
type fleet struct {
	instance    string // type
	least, most int
}

func (c Config) fleet(role settings.Role) fleet {
	if role == settings.Server {
		return fleet{c.ServerType, c.ServerMin, c.ServerMax}
	}
	return fleet{c.WorkerType, c.WorkerMin, c.WorkerMax}
}

func (c Config) groupName(role settings.Role) string { return c.Name() + "-" + string(role) }

func (c Config) logGroup(role settings.Role) string {
	return fmt.Sprintf("/%s/%s/%s", c.Project, c.Stack, role)
}

// tags returns the tags of every resource. Those of ownTags override those of the user.
func (c Config) tags() map[string]string {
	all := map[string]string{}
	for _, tags := range []map[string]string{c.AWS.DefaultTags.Tags, c.Tags, c.ownTags()} {
		maps.Copy(all, tags)
	}
	return all
}

// ownTags returns the tags that tell stacks apart. Do not add a value that changes by itself: every change of it would
// update every resource.
func (c Config) ownTags() map[string]string {
	return map[string]string{"project": c.Project, "stack": c.Stack, "managed-by": "pulumi"}
}
