package main

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/app/deploy/settings"
)

// output is one line of `pulumi stack output`.
type output struct {
	name  string
	doc   string
	value func(s *Stack) pulumi.Input
}

// outputs are all of them, the one that people want first.
var outputs = []output{
	{"url", "address of the service; with a certificate a sentence: a name that it covers must first point at `albDns`",
		func(s *Stack) pulumi.Input { return s.url() }},
	{"albDns", "name of the load balancer", func(s *Stack) pulumi.Input { return s.edge.Balancer.DnsName }},
	{"balancerUrl",
		"address of the service under `albDns`, for the rollout's smoke; with a certificate no client trusts it",
		func(s *Stack) pulumi.Input { return s.edge.URL }},
	{"imagesBucket", "bucket of originals and results", func(s *Stack) pulumi.Input { return s.storage.Images.Bucket.ID() }},
	{"releaseBucket", "bucket of releases", func(s *Stack) pulumi.Input { return s.storage.Releases.Bucket.ID() }},
	{"release", "SHA-256 of the shipped binary, as GET /version answers", func(s *Stack) pulumi.Input { return pulumi.String(s.binary.SHA) }},
	{"table", "table of images", func(s *Stack) pulumi.Input { return s.storage.Table.Name }},
	{"queueUrl", "queue of hints", func(s *Stack) pulumi.Input { return s.messaging.Queue.Url }},
	{"dlqUrl", "dead letters", func(s *Stack) pulumi.Input { return s.messaging.DeadLetters.Url }},
	{"serverGroup", "Auto Scaling group of the servers", func(s *Stack) pulumi.Input { return s.server.Group.Name }},
	{"workerGroup", "Auto Scaling group of the workers", func(s *Stack) pulumi.Input { return s.worker.Group.Name }},
	{"templateVersions", "newest launch template version of each role; what runs is the group's", func(s *Stack) pulumi.Input {
		return pulumi.IntMap{string(settings.Server): s.server.Template.LatestVersion, string(settings.Worker): s.worker.Template.LatestVersion}
	}},
	{"rolloutWorker", "what became of the workers' release", func(s *Stack) pulumi.Input { return s.outcome[settings.Worker] }},
	{"rolloutServer", "what became of the servers'", func(s *Stack) pulumi.Input { return s.outcome[settings.Server] }},
	{"guardAlarms", "alarms that stop a rollout, by role", func(s *Stack) pulumi.Input {
		return pulumi.StringArrayMap{string(settings.Server): s.alarms.Guards[settings.Server], string(settings.Worker): s.alarms.Guards[settings.Worker]}
	}},
	{"alarmTopic", "ARN of the topic that every alarm publishes to",
		func(s *Stack) pulumi.Input { return s.alarms.Topic.Arn }},
	{"alarmSubscription", "whether the e-mail subscription is confirmed, as of the last `pulumi refresh`",
		func(s *Stack) pulumi.Input { return s.subscription() }},
	{"region", "region of everything", func(s *Stack) pulumi.Input { return pulumi.String(s.cfg.Region) }},
	{"azs", "zones in use, for imagery:azs", func(s *Stack) pulumi.Input { return s.network.Zones() }},
	{"egress", "how instances reach AWS", func(s *Stack) pulumi.Input { return pulumi.String(string(s.cfg.Egress)) }},
	{"monthlyCostUsd", "estimate from a small price table: total and its lines, what dominates, what comes on top at " +
		"the largest size (moreAtMost), date and region of the prices",
		func(s *Stack) pulumi.Input { return estimate(s.cfg).output() }},
	{"consoleLinks", "dashboard, logs and groups in the browser", func(s *Stack) pulumi.Input { return s.links() }},
}

// export publishes the outputs and says in the preview what the stack will cost.
func (s *Stack) export(ctx *pulumi.Context) error {
	for _, o := range outputs {
		ctx.Export(o.name, o.value(s))
	}
	return ctx.Log.Info(estimate(s.cfg).String(), nil)
}

// url returns where clients find the service. A certificate never covers the balancer's own name, and its ARN does not
// tell which name it covers, so with one the output says what is left to do.
func (s *Stack) url() pulumi.StringOutput {
	if s.cfg.CertificateARN == "" {
		return s.edge.URL
	}
	const todo = "point a name that the certificate covers at %s (CNAME or alias record), then use https://<that name>"
	return pulumi.Sprintf(todo, s.edge.Balancer.DnsName)
}

// subscription is in words. AWS tells whether the link was clicked only when it is asked, so the state of the
// stack has to be refreshed to know.
func (s *Stack) subscription() pulumi.StringInput {
	if s.alarms.Subscription == nil {
		return pulumi.String("none: set imagery:alarmEmail")
	}
	return s.alarms.Subscription.PendingConfirmation.ApplyT(func(pending bool) string {
		if pending {
			return fmt.Sprintf("PENDING: %s must click the link that AWS sent, then `pulumi up --refresh`", s.cfg.AlarmEmail)
		}
		return "confirmed: " + s.cfg.AlarmEmail
	}).(pulumi.StringOutput)
}

func (s *Stack) links() pulumi.StringMap {
	console := "https://" + s.cfg.Region + ".console.aws.amazon.com/"
	return pulumi.StringMap{
		"dashboard": pulumi.String(console + "cloudwatch/home?region=" + s.cfg.Region + "#dashboards/dashboard/" + s.cfg.Name()),
		"logs":      pulumi.String(console + "cloudwatch/home?region=" + s.cfg.Region + "#logsV2:log-groups"),
		"groups":    pulumi.String(console + "ec2/home?region=" + s.cfg.Region + "#AutoScalingGroups:"),
	}
}
