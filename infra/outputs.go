package main

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/app/deploy/settings"
)

// output is one line of `pulumi stack output`.
type output struct {
	name, doc string
	value     pulumi.Input
}

// outputs returns all outputs, the most used first.
func (s *Stack) outputs() []output {
	server, worker := string(settings.Server), string(settings.Worker)
	return []output{
		{"url", "address of the service; with a certificate, the next step instead: point a name that it covers at `albDns`",
			s.url()},
		{"albDns", "DNS name of the load balancer", s.edge.Balancer.DnsName},
		{"balancerUrl", "URL of the service under `albDns`, for the rollout's smoke test; a certificate does not cover " +
			"this name", s.edge.URL},
		{"imagesBucket", "bucket of originals and results", s.storage.Images.Bucket.ID()},
		{"releaseBucket", "bucket of releases", s.storage.Releases.Bucket.ID()},
		{"release", "SHA-256 of the deployed binary, as in GET /version", pulumi.String(s.binary.SHA)},
		{"table", "table of images", s.storage.Table.Name},
		{"queueUrl", "URL of the queue of hints", s.messaging.Queue.Url},
		{"dlqUrl", "URL of the dead-letter queue", s.messaging.DeadLetters.Url},
		{"serverGroup", "Auto Scaling group of the servers", s.server.Group.Name},
		{"workerGroup", "Auto Scaling group of the workers", s.worker.Group.Name},
		{"templateVersions", "newest launch template version of each role; the groups may run an older one",
			pulumi.IntMap{server: s.server.Template.LatestVersion, worker: s.worker.Template.LatestVersion}},
		{"rolloutWorker", "result of the workers' rollout", s.outcome.MapIndex(pulumi.String(worker))},
		{"rolloutServer", "result of the servers' rollout", s.outcome.MapIndex(pulumi.String(server))},
		{"guardAlarms", "alarms that stop a rollout, by role", pulumi.StringArrayMap{
			server: s.alarms.Guards[settings.Server], worker: s.alarms.Guards[settings.Worker]}},
		{"alarmTopic", "ARN of the topic that every alarm publishes to", s.alarms.Topic.Arn},
		{"alarmSubscription", "whether the e-mail subscription is confirmed, as of the last `pulumi refresh`",
			s.subscription()},
		{"region", "AWS region", pulumi.String(s.cfg.Region)},
		{"azs", "zones in use, for imagery:azs", s.network.Zones()},
		{"egress", "how instances reach AWS", pulumi.String(string(s.cfg.Egress))},
		{"monthlyCostUsd", "estimate from a small price table: total and its lines, the largest line, the addition at the " +
			"largest size (moreAtMost), date and region of the prices", estimate(s.cfg).output()},
		{"consoleLinks", "links to dashboard, logs and groups in the AWS console", s.links()},
	}
}

// export publishes the outputs and logs the cost estimate.
func (s *Stack) export(ctx *pulumi.Context) error {
	for _, o := range s.outputs() {
		ctx.Export(o.name, o.value)
	}
	return ctx.Log.Info(estimate(s.cfg).String(), nil)
}

// url returns the URL of the service. With a certificate it returns the next step instead: a certificate does not cover
// the load balancer's own name, and its ARN does not contain the name that it covers.
func (s *Stack) url() pulumi.StringOutput {
	if s.cfg.CertificateARN == "" {
		return s.edge.URL
	}
	const todo = "point a name that the certificate covers at %s (CNAME or alias record), then use https://<that name>"
	return pulumi.Sprintf(todo, s.edge.Balancer.DnsName)
}

// subscription describes the state of the e-mail subscription, which is as old as the last refresh of Pulumi's state.
func (s *Stack) subscription() pulumi.StringInput {
	if s.alarms.Subscription == nil {
		return pulumi.String("none: set imagery:alarmEmail")
	}
	return s.alarms.Subscription.PendingConfirmation.ApplyT(func(pending bool) string {
		if pending {
			return fmt.Sprintf("PENDING: open the link that AWS sent to %s, then run `pulumi up --refresh`", s.cfg.AlarmEmail)
		}
		return "confirmed: " + s.cfg.AlarmEmail
	}).(pulumi.StringOutput)
}

func (s *Stack) links() pulumi.StringMap {
	link := func(service, page string) pulumi.String {
		region := s.cfg.Region
		return pulumi.String("https://" + region + ".console.aws.amazon.com/" + service + "/home?region=" + region + page)
	}
	return pulumi.StringMap{
		"dashboard": link("cloudwatch", "#dashboards/dashboard/"+s.cfg.Name()),
		"logs":      link("cloudwatch", "#logsV2:log-groups"),
		"groups":    link("ec2", "#AutoScalingGroups:"),
	}
}
