package preflight

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// ownKey is a key that is not AWS's, grantee the one that must be able to use it.
const (
	ownKey  = "arn:aws:kms:eu-central-1:1:key/2"
	grantee = "arn:aws:iam::1:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
)

// allows returns a statement of a key policy.
func allows(principal string) string {
	return `{"Effect":"Allow","Principal":{"AWS":"` + principal + `"}}`
}

func dev() Stack {
	return Stack{Project: "imagery", Stack: "dev", Region: "eu-central-1", Arch: "arm64",
		Fleets: []Fleet{{"server", "imagery-dev-server", "t4g.micro", 2, 2, 4, 150},
			{"worker", "imagery-dev-worker", "t4g.small", 2, 2, 4, 150}},
		Zones: []string{"a", "b"}, Rules: 1, Image: "ami-0123456789abcdef0", ImageFrozen: true}
}

func deployed() State {
	return State{Zones: []string{"a", "b"}, Groups: []string{"imagery-dev-server", "imagery-dev-worker"},
		Templates: []string{"imagery-dev-server", "imagery-dev-worker"}, Image: "ami-0123456789abcdef0"}
}

func instance(kind string, cores, threads int32, tags ...string) types.Instance {
	i := types.Instance{InstanceType: types.InstanceType(kind),
		CpuOptions: &types.CpuOptions{CoreCount: &cores, ThreadsPerCore: &threads}}
	for _, t := range tags {
		k, v, _ := strings.Cut(t, "=")
		i.Tags = append(i.Tags, types.Tag{Key: &k, Value: &v})
	}
	return i
}

func TestCheck(t *testing.T) {
	ours := []string{"project=imagery", "stack=dev"}
	for _, c := range []struct {
		name    string
		change  func(a *account, w *Stack, s *State)
		problem string // of the only one; empty: there is none
		warning string // of the only one; empty: there is none
	}{
		{"a healthy account", func(*account, *Stack, *State) {}, "", ""},
		{"a healthy stack", func(a *account, _ *Stack, s *State) {
			*s = deployed()
			a.groups, a.templates = s.Groups, s.Templates
		}, "", ""},
		{"a new account's quota", func(a *account, _ *Stack, _ *State) { a.quotas[vcpuQuota] = 5 },
			"vCPUs: the quota is 5, 0 are in use by others, this stack needs 8 at its minimum size and 10 while it replaces " +
				"an instance. Raise the quota: aws service-quotas request-service-quota-increase --service-code ec2 --quota-code " +
				"L-1216C47A --region eu-central-1 --desired-value 20 (usually granted within hours). A stack that fits: " +
				"pulumi config set imagery:arch arm64; pulumi config set imagery:serverType c7g.medium; pulumi config set " +
				"imagery:workerType c7g.medium; pulumi config set imagery:serverMin 2", ""},
		{"a quota without room to replace", func(a *account, _ *Stack, _ *State) { a.quotas[vcpuQuota] = 9 },
			"needs 8 at its minimum size and 10 while", ""},
		{"a quota of three", func(a *account, _ *Stack, _ *State) { a.quotas[vcpuQuota] = 3 }, "imagery:serverMin 1", ""},
		{"a quota of one", func(a *account, _ *Stack, _ *State) { a.quotas[vcpuQuota] = 1 },
			"The smallest stack needs three vCPUs", ""},
		{"AWS's default quota", func(a *account, _ *Stack, _ *State) { delete(a.quotas, vcpuQuota) }, "the quota is 5", ""},
		{"that stack in a new account", func(a *account, w *Stack, _ *State) {
			a.quotas[vcpuQuota] = 5
			for i := range w.Fleets {
				w.Fleets[i].VCPUs, w.Fleets[i].Min, w.Fleets[i].Max, w.Fleets[i].MaxHealthy = 1, 1, 2, 150
			}
		}, "", ""},
		{"a quota for the smallest size only", func(a *account, _ *Stack, _ *State) { a.quotas[vcpuQuota] = 19 }, "",
			"the quota is 19, 0 are in use by others, this stack may grow to 16 and needs 4 more while it replaces"},
		{"a quota that fits exactly", func(a *account, _ *Stack, _ *State) { a.quotas[vcpuQuota] = 20 }, "", ""},
		{"both groups at once", func(a *account, w *Stack, _ *State) { a.quotas[vcpuQuota], w.Together = 20, true }, "",
			"may grow to 16 and needs 8 more"},
		{"a stack that runs already", func(a *account, _ *Stack, s *State) {
			*s, a.quotas[vcpuQuota] = deployed(), 9
		}, "", "needs 8 at its minimum size and 10 while it replaces an instance: a rollout will wait"},
		{"others use the quota", func(a *account, _ *Stack, _ *State) {
			a.quotas[vcpuQuota] = 20
			a.instances = []types.Instance{
				instance("m7i.large", 4, 2), instance("im4gn.large", 1, 1), instance("t4g.small", 2, 1, ours...)}
		}, "", "9 are in use by others"},
		{"others use other quotas", func(a *account, _ *Stack, _ *State) {
			a.quotas[vcpuQuota] = 20
			for _, kind := range strings.Fields("g5.xlarge trn1.2xlarge hpc7g.4xlarge inf2.xlarge dl1.24xlarge mac2.metal " +
				"x2gd.medium u-6tb1.metal vt1.3xlarge") {
				a.instances = append(a.instances, instance(kind, 4, 2))
			}
			host := instance("m7i.large", 4, 2)
			host.Placement = &types.Placement{Tenancy: types.TenancyHost}
			a.instances = append(a.instances, host)
		}, "", ""},
		{"spot has a quota of its own", func(a *account, _ *Stack, _ *State) {
			a.quotas[vcpuQuota] = 20
			a.instances = []types.Instance{instance("m7i.large", 4, 2)}
			a.instances[0].InstanceLifecycle = types.InstanceLifecycleTypeSpot
		}, "", ""},
		{"addresses are not needed", func(a *account, _ *Stack, _ *State) { a.addresses = make([]types.Address, 6) }, "", ""},
		{"addresses", func(a *account, w *Stack, _ *State) { a.addresses, w.NATs = make([]types.Address, 3), 3 },
			"Elastic IP addresses: the quota is 5, 3 are in use by others, this stack needs 3. Raise it (aws service-quotas " +
				"request-service-quota-increase --service-code ec2 --quota-code L-0263D0A3 --region eu-central-1 " +
				"--desired-value 6), or choose another imagery:egress", ""},
		{"VPCs", func(a *account, _ *Stack, _ *State) { a.vpcs = make([]types.Vpc, 5) },
			"VPCs: the quota is 5, 5 are in use", ""},
		{"VPCs that other accounts share", func(a *account, w *Stack, _ *State) {
			a.vpcs, w.AccountID = make([]types.Vpc, 5), "111122223333"
			a.vpcs[0].OwnerId = aws.String("444455556666")
		}, "", ""},
		{"our own VPC", func(a *account, _ *Stack, _ *State) {
			a.vpcs = make([]types.Vpc, 5)
			a.vpcs[2].Tags = instance("", 0, 0, ours...).Tags
		}, "", ""},
		{"rules", func(_ *account, w *Stack, _ *State) { w.Rules = 61 }, "security group: the quota is 60", ""},
		{"zone without the type", func(a *account, _ *Stack, _ *State) { a.offers["t4g.small"] = []string{"a"} },
			"zone b does not offer t4g.small (imagery:workerType)", ""},
		{"kept zone is missing", func(a *account, w *Stack, s *State) {
			*s = deployed()
			s.Zones, w.Zones = []string{"", "c"}, []string{"a", "b"}
			a.offers["t4g.micro"] = []string{"a", "c"}
		}, "", ""},
		{"kept zone without the type", func(a *account, w *Stack, s *State) {
			*s = deployed()
			s.Zones, w.Zones = []string{"a", "c"}, []string{"a", "b"}
			a.offers["t4g.micro"] = []string{"a", "b"}
		}, "zone c does not offer t4g.micro (imagery:serverType)", ""},
		{"no image", func(a *account, _ *Stack, _ *State) { a.imageMade = time.Time{} }, "is not in eu-central-1", ""},
		{"old image", func(a *account, _ *Stack, _ *State) { a.imageMade = time.Now().Add(-31 * 24 * time.Hour) }, "",
			"ami-0123456789abcdef0 is 31 days old, and instances install no security updates"},
		{"old image of the stack", func(a *account, w *Stack, s *State) {
			*s, w.Image = deployed(), "ami-00000000000000002"
			a.imageMade = time.Now().Add(-91 * 24 * time.Hour)
		}, "", "ami-0123456789abcdef0 is 91 days old"},
		{"image of another CPU", func(a *account, _ *Stack, _ *State) { a.imageArch = types.ArchitectureValuesX8664 },
			"is for x86_64, imagery:arch is arm64", ""},
		{"no service-linked role", func(a *account, _ *Stack, _ *State) { a.roles = a.roles[1:] }, "",
			"AWSServiceRoleForAutoScaling does not exist, as in a new account"},
		{"a key without a grant", func(a *account, _ *Stack, _ *State) {
			a.key, a.keyPolicy = ownKey, `{"Statement":[`+allows("arn:aws:iam::1:root")+`]}`
		}, "neither its policy nor a grant names AWSServiceRoleForAutoScaling: every launch would fail with Client.", ""},
		{"a key that denies", func(a *account, _ *Stack, _ *State) {
			a.key, a.keyPolicy = ownKey, `{"Statement":[{"Effect":"Deny","Principal":"*"}]}`
		}, "neither its policy nor a grant", ""},
		{"a key whose policy is one statement", func(a *account, _ *Stack, _ *State) {
			a.key, a.keyPolicy = ownKey, `{"Statement":`+allows(grantee)+`}`
		}, "", ""},
		{"a key whose policy is no JSON", func(a *account, _ *Stack, _ *State) {
			a.key, a.keyPolicy = ownKey, `{`
		}, "", "not checked: key of encrypted disks: read the policy of the key"},
		{"a key with a grant", func(a *account, _ *Stack, _ *State) {
			a.key, a.grants = ownKey, []string{grantee}
		}, "", ""},
		{"a key with a policy", func(a *account, _ *Stack, _ *State) {
			a.key, a.keyPolicy = ownKey, `{"Statement":[`+allows(grantee)+`]}`
		}, "", ""},
		{"another stack's group", func(a *account, _ *Stack, _ *State) { a.groups = []string{"imagery-dev-server"} },
			`but not in the state of this stack: Auto Scaling group imagery-dev-server. There is another stack "dev"`, ""},
		{"another stack's template", func(a *account, _ *Stack, _ *State) { a.templates = []string{"imagery-dev-worker"} },
			"not in the state of this stack: launch template imagery-dev-worker", ""},
		{"no state", func(a *account, w *Stack, s *State) {
			s.Unreadable, a.groups = true, []string{"imagery-dev-server"}
		}, "", "the state of the stack could not be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, w, s := healthy(), dev(), State{}
			c.change(a, &w, &s)
			r, err := Check(t.Context(), Clients{a, a, a, a, a}, w, s)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range []struct {
				got  []string
				want string
			}{{r.Problems, c.problem}, {r.Warnings, c.warning}} {
				if n := len(l.got); l.want == "" && n > 0 || l.want != "" && (n != 1 || !strings.Contains(l.got[0], l.want)) {
					t.Errorf("got %q, want %q", l.got, l.want)
				}
			}
			if err := r.Err(); (err != nil) != (c.problem != "") ||
				err != nil && !strings.Contains(err.Error(), "nothing was changed") {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// Each right that is missing is a warning that names the call, and stops no other question.
func TestMissingRights(t *testing.T) {
	for _, call := range strings.Fields("GetServiceQuota DescribeInstances DescribeAddresses DescribeVpcs " +
		"DescribeImages DescribeInstanceTypeOfferings DescribeLaunchTemplates DescribeAutoScalingGroups GetRole " +
		"GetEbsDefaultKmsKeyId GetKeyPolicy ListGrants") {
		a, w := healthy(), dev()
		w.NATs, a.key, a.denied = 1, ownKey, []string{call}
		if call != "GetKeyPolicy" && call != "ListGrants" {
			a.grants = []string{"AWSServiceRoleForAutoScaling"}
		}
		r, err := Check(t.Context(), Clients{a, a, a, a, a}, w, State{})
		if err != nil || len(r.Problems) > 0 {
			t.Errorf("%s: %v, %q", call, err, r.Problems)
		}
		if text := strings.Join(r.Warnings, "\n"); !strings.Contains(text, "not checked: ") ||
			!strings.Contains(text, call+": UnauthorizedOperation") {
			t.Errorf("%s: %q", call, r.Warnings)
		}
	}
}

func TestCheckEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("interrupted")
	cancel(why)
	a := healthy()
	if _, err := Check(ctx, Clients{a, a, a, a, a}, dev(), State{}); !errors.Is(err, why) {
		t.Error(err)
	}
}
