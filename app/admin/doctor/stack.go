package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	scaling "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	tagging "github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi"
	tags "github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"imagery/app/admin/alarms"
	"imagery/app/deploy/settings"
)

// alarms checks that each alarm exists, notifies the stack's topic, and has subscribers.
func (c Cloud) alarms(ctx context.Context, r *report) {
	clients := alarms.New(c.AWS)
	ctx, cancel := context.WithTimeout(ctx, 3*callTimeout)
	defer cancel()
	list, err := clients.List(ctx, c.Stack)
	if r.failed("the alarms", err) {
		return
	}
	var missing, wrongTopic []string
	for _, name := range settings.Alarms {
		i := slices.IndexFunc(list, func(al alarms.Alarm) bool { return al.Name == name })
		if i < 0 {
			missing = append(missing, name)
			continue
		}
		if c.Topic != "" && !slices.Contains(list[i].Actions, c.Topic) {
			wrongTopic = append(wrongTopic, name)
		}
		if list[i].State == types.StateValueAlarm {
			r.warn(name+" is in state ALARM", "the service needs attention now", "docs/runbook.md#"+name)
		}
	}
	if len(missing) > 0 {
		r.wrong("missing: "+strings.Join(missing, ", "), "nobody is notified of these problems", repair)
	}
	if len(wrongTopic) > 0 {
		r.wrong("alarms without the stack's topic as their action: "+strings.Join(wrongTopic, ", "),
			"subscribers of the topic are not notified", repair)
	}
	topics := clients.Topics(ctx, list, r.formatError)
	for _, gap := range alarms.Unreceived(list, topics) {
		r.wrong(gap.Text, "an outage may go unnoticed", gap.Remedy)
	}
	var subscribers []string
	for _, al := range list {
		by, _ := al.Recipients(topics)
		subscribers = append(subscribers, by...)
	}
	if slices.Sort(subscribers); len(subscribers) > 0 && len(missing)+len(wrongTopic) == 0 {
		r.ok("%d alarms notify %s", len(list), strings.Join(slices.Compact(subscribers), ", "))
	}
	for _, t := range topics {
		c.topicKey(ctx, r, t.ARN)
	}
}

// topicKey checks that CloudWatch can use the encryption key of a topic; otherwise notifications are lost.
func (c Cloud) topicKey(ctx context.Context, r *report, topic string) {
	out, err := call(ctx, sns.NewFromConfig(c.AWS).GetTopicAttributes, &sns.GetTopicAttributesInput{TopicArn: &topic})
	if r.failed("the topic "+topic, err) {
		return
	}
	switch key := out.Attributes["KmsMasterKeyId"]; {
	case strings.HasSuffix(key, "alias/aws/sns"):
		r.wrong("the topic is encrypted with AWS's own key",
			"CloudWatch may not use it: nobody is notified of alarms", repair)
	case key != "":
		r.warn("the topic is encrypted with a KMS key", "the key's policy must allow cloudwatch.amazonaws.com",
			"imagery alarms test")
	}
}

// known returns the ids and ARNs of the resources in the Pulumi state of the stack.
func (c Cloud) known(ctx context.Context) (map[string]bool, error) {
	export, err := c.Export(ctx)
	if err != nil {
		return nil, err
	}
	var doc struct {
		Deployment struct {
			Resources []struct {
				ID      string
				Outputs struct{ ARN any } // a string, unless it is a secret
			}
		}
	}
	if err := json.Unmarshal(export, &doc); err != nil {
		return nil, fmt.Errorf("parse the output of pulumi stack export: %w", err)
	}
	known := map[string]bool{}
	for _, r := range doc.Deployment.Resources {
		arn, _ := r.Outputs.ARN.(string)
		known[r.ID], known[strings.TrimSuffix(arn, ":*")] = true, true
	}
	delete(known, "") // of resources without an id or an ARN
	return known, nil
}

// maxLeftovers is the number of leftovers that are listed; a forgotten stack has a hundred.
const maxLeftovers = 20

// leftovers reports resources that have the stack's tags but are not in its state: they may cost money, and pulumi
// destroy does not remove them.
func (c Cloud) leftovers(ctx context.Context, r *report) {
	tagged, err := c.tagged(ctx)
	if r.failed("the resources with the stack's tags", err) {
		return
	}
	if len(tagged) == 0 {
		r.ok("no resource has the stack's tags")
		return
	}
	known, err := c.known(ctx)
	if err != nil {
		r.info(fmt.Sprintf("%d resources have the stack's tags: %s", len(tagged), countByKind(tagged)),
			"which of them are leftovers is unknown: "+err.Error(),
			"install pulumi and log in to the backend of the stack's state, then: imagery doctor --stack "+c.Stack)
		return
	}
	var left, instances, attached []string
	for _, arn := range tagged {
		short := strings.TrimSuffix(arn, ":*")
		switch kind := kindOf(arn); {
		case known[short] || known[short[strings.LastIndexAny(short, "/:")+1:]]: // by its ARN, or the id at the end of it
		case kind == "ec2 instance":
			instances = append(instances, arn)
		case kind == "ec2 volume" || kind == "ec2 network-interface":
			attached = append(attached, arn)
		default:
			left = append(left, arn)
		}
	}
	ungrouped, err := c.withoutGroup(ctx, instances)
	r.failed("the Auto Scaling groups of the instances", err)
	if left = append(left, ungrouped...); len(left) == 0 {
		r.ok("%d resources have the stack's tags, and none is left over", len(tagged))
	}
	for i, arn := range left {
		if i == maxLeftovers {
			r.warn(fmt.Sprintf("and %d more: %s", len(left)-i, countByKind(left[i:])), "", "")
			break
		}
		r.warn("not in the Pulumi state: "+arn,
			"it may cost money, and pulumi destroy will not remove it; resources deleted in the last hour may still be listed",
			"check it, then delete it by hand, or add it to the stack: pulumi import")
	}
	if len(attached) > 0 {
		r.info("not compared: "+countByKind(attached), "they are deleted with their instance", "")
	}
}

// tagged returns the ARNs of the resources with the stack's tags.
func (c Cloud) tagged(ctx context.Context) ([]string, error) {
	filter := func(key, value string) tags.TagFilter {
		return tags.TagFilter{Key: &key, Values: []string{value}}
	}
	ctx, cancel := context.WithTimeout(ctx, 3*callTimeout)
	defer cancel()
	var arns []string
	client := tagging.NewFromConfig(c.AWS)
	in := &tagging.GetResourcesInput{TagFilters: []tags.TagFilter{
		filter("project", settings.Project), filter("stack", settings.ShortStack(c.Stack)), filter("managed-by", "pulumi")}}
	for more := true; more; more = aws.ToString(in.PaginationToken) != "" {
		page, err := client.GetResources(ctx, in)
		if err != nil {
			return nil, err
		}
		in.PaginationToken = page.PaginationToken
		for _, r := range page.ResourceTagMappingList {
			arns = append(arns, aws.ToString(r.ResourceARN))
		}
	}
	slices.Sort(arns)
	return arns, nil
}

// withoutGroup returns the instances that are in no Auto Scaling group; those of a group are deleted with it.
func (c Cloud) withoutGroup(ctx context.Context, arns []string) (ungrouped []string, err error) {
	id := func(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }
	groups := autoscaling.NewFromConfig(c.AWS)
	for batch := range slices.Chunk(arns, 50) { // the maximum of one call
		in := &autoscaling.DescribeAutoScalingInstancesInput{}
		for _, arn := range batch {
			in.InstanceIds = append(in.InstanceIds, id(arn))
		}
		out, err := call(ctx, groups.DescribeAutoScalingInstances, in)
		if err != nil {
			return nil, err
		}
		ungrouped = append(ungrouped, slices.DeleteFunc(batch, func(arn string) bool {
			return slices.ContainsFunc(out.AutoScalingInstances,
				func(d scaling.AutoScalingInstanceDetails) bool { return aws.ToString(d.InstanceId) == id(arn) })
		})...)
	}
	return ungrouped, nil
}

// kindOf returns the service and the resource type of an ARN, such as "ec2 instance" or "sqs".
func kindOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6) // arn:aws:ec2:region:account:instance/i-1
	if len(parts) < 6 {
		return arn
	}
	if kind, _, ok := strings.Cut(parts[5], "/"); ok && !strings.Contains(kind, ":") {
		return parts[2] + " " + kind
	}
	return parts[2]
}

// countByKind returns a text such as "3 ec2 instance, 1 sqs", most frequent kind first.
func countByKind(arns []string) string {
	count := map[string]int{}
	for _, arn := range arns {
		count[kindOf(arn)]++
	}
	byCount := func(a, b string) int { return cmp.Or(count[b]-count[a], cmp.Compare(a, b)) }
	var parts []string
	for _, kind := range slices.SortedFunc(maps.Keys(count), byCount) {
		parts = append(parts, fmt.Sprintf("%d %s", count[kind], kind))
	}
	return strings.Join(parts, ", ")
}
