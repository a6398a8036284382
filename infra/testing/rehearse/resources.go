package main

import (
	"context"
	"path"
	"slices"
	"strings"

	"imagery/infra/deployer"
	"imagery/infra/testing/authz"
)

// arnForm is the ARN of a resource type with "%" in place of the name or id, and the parameters that hold the name, the
// id, or the whole ARN.
type arnForm struct {
	arn        string
	parameters []string
}

// arnForms are those of AWS's service authorization reference, by service and resource type.
var arnForms = map[string]arnForm{
	"autoscaling autoScalingGroup": {arnOf("autoscaling", "autoScalingGroup:*:autoScalingGroupName/%"),
		[]string{"AutoScalingGroupName", "Tags.member.1.ResourceId"}},
	"cloudwatch alarm": {arnOf("cloudwatch", "alarm:%"), []string{"AlarmName", "AlarmNames", "ResourceARN"}},
	"cloudwatch dashboard": {"arn:aws:cloudwatch::" + account + ":dashboard/%",
		[]string{"DashboardName", "DashboardNames"}},
	"dynamodb table": {arnOf("dynamodb", "table/%"), []string{"TableName", "ResourceArn"}},
	"elasticloadbalancing loadbalancer": {arnOf("elasticloadbalancing", "loadbalancer/app/%/*"),
		[]string{"LoadBalancerArn", "ResourceArns", "Name"}},
	"elasticloadbalancing targetgroup": {arnOf("elasticloadbalancing", "targetgroup/%/*"),
		[]string{"TargetGroupArn", "Name"}},
	"elasticloadbalancing listener": {arnOf("elasticloadbalancing", "listener/app/%"), []string{"ListenerArn"}},
	"iam role":                      {"arn:aws:iam::" + account + ":role/%", []string{"RoleName"}},
	"iam instance-profile": {"arn:aws:iam::" + account + ":instance-profile/%",
		[]string{"InstanceProfileName"}},
	"kms key": {arnOf("kms", "key/%"), []string{"KeyId"}},
	// As in AWS's denials: "... on resource: arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/f:log-stream:"
	"logs log-group":      {arnOf("logs", "log-group:%:log-stream:"), []string{"logGroupName", "resourceArn"}},
	"logs log-stream":     {arnOf("logs", "log-group:%:log-stream:*"), []string{"logGroupName"}},
	"s3 bucket":           {"arn:aws:s3:::%", []string{"ResourceArn", "Bucket"}},
	"s3 object":           {"arn:aws:s3:::%", []string{"Object"}},
	"servicequotas quota": {arnOf("servicequotas", "%"), []string{"QuotaCode"}},
	"sns topic":           {arnOf("sns", "%"), []string{"TopicArn", "ResourceArn", "SubscriptionArn", "Name"}},
	"sqs queue":           {arnOf("sqs", "%"), []string{"QueueUrl", "QueueName"}},
	"ssm parameter":       {arnOf("ssm", "parameter%"), []string{"Name"}},
}

// arnOf returns the ARN of a resource in the rehearsal's region and account.
func arnOf(service, resource string) string {
	return strings.Join([]string{"arn", "aws", service, region, account, resource}, ":")
}

// formOf returns the ARN of a resource type.
func formOf(service, kind string) arnForm {
	if service == "elasticloadbalancing" { // loadbalancer/app/, listener/app
		kind, _, _ = strings.Cut(kind, "/")
	}
	form := arnForms[service+" "+kind]
	if service == "ec2" { // route-table: RouteTableId
		var id strings.Builder
		for word := range strings.SplitSeq(kind, "-") {
			id.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
		form = arnForm{arnOf("ec2", kind+"/%"), []string{id.String() + "Id"}}
	}
	return form
}

// values returns the values of the first of some parameters that the call has, in the order of the list.
func (c call) values(names []string) (out []string) {
	for _, name := range names {
		for parameter, values := range c.parameters {
			list := strings.TrimSuffix(strings.TrimRight(parameter, "0123456789"), ".") // name.1 or name.member.1
			if parameter == name || strings.TrimSuffix(list, ".member") == name {
				out = append(out, values...)
			}
		}
		if len(out) > 0 {
			slices.Sort(out)
			return out
		}
	}
	return nil
}

// has reports whether the call has a parameter that is not false, or members of it.
func (c call) has(name string) bool {
	for p := range c.parameters {
		if p == name && c.parameters.Get(p) != "false" || strings.HasPrefix(p, name+".") {
			return true
		}
	}
	return false
}

// resources returns the ARNs on which AWS checks an action of the call; "*" if the action has no resources.
func (c call) resources(action string) (out []string) {
	service, _, _ := strings.Cut(action, ":")
	row := authz.Reference()[action]
	kinds, always := row.Checked(), len(row.Required) > 0
	if action == "ec2:CreateTags" { // of resources that the call creates
		kinds, always = c.tagged(), true
	}
	for _, kind := range kinds {
		form := formOf(service, kind)
		values := c.values(form.parameters)
		if form.arn == "" || len(values) == 0 && !always {
			continue // not named by this call
		}
		if len(values) == 0 {
			values = []string{"*"} // AWS gives it a name later
		}
		for _, v := range values {
			out = append(out, resourceARN(form.arn, action, v))
		}
	}
	if index := c.parameters.Get("IndexName"); index != "" && service == "dynamodb" && len(out) > 0 {
		out[0] += "/index/" + index
	}
	if len(out) == 0 {
		return []string{"*"}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// tagged returns the resource types that a call of EC2 creates with tags.
func (c call) tagged() (kinds []string) {
	for p := range c.parameters {
		if strings.HasPrefix(p, "TagSpecification.") && strings.HasSuffix(p, ".ResourceType") {
			kinds = append(kinds, c.parameters.Get(p))
		}
	}
	return kinds
}

// resourceARN puts the value of a parameter into an ARN.
func resourceARN(form, action, value string) string {
	switch {
	case strings.HasPrefix(value, "arn:aws:sns:") && strings.Count(value, ":") > 5: // a subscription, of a topic
		return value[:strings.LastIndex(value, ":")]
	case strings.HasPrefix(value, "arn:"):
		return value
	case strings.HasPrefix(action, "sqs:"):
		value = path.Base(value) // of a URL
	case strings.HasPrefix(value, "/aws/") && strings.HasPrefix(action, "ssm:"):
		form = strings.Replace(form, account, "", 1) // public parameters have no account
	case strings.HasPrefix(value, "AWSServiceRoleFor"):
		for service, role := range linkedRoles {
			if strings.HasSuffix(role, value) {
				value = "aws-service-role/" + service + "/" + role
			}
		}
	}
	return strings.Replace(form, "%", value, 1)
}

// linkedRoles are the service-linked roles that AWS creates for a caller, by service.
var linkedRoles = map[string]string{
	"autoscaling.amazonaws.com":          "AWSServiceRoleForAutoScaling",
	"elasticloadbalancing.amazonaws.com": "AWSServiceRoleForElasticLoadBalancing",
}

// requests returns the call as IAM sees it: the action itself and those that depend on it. Role returns the role of the
// instances of a launch template.
func (c call) requests(ctx context.Context, role func(ctx context.Context, template, version string) (string, error)) (
	out []authz.Request, err error) {
	if template, version := c.launchTemplate(); template != "" {
		name, err := role(ctx, template, version)
		if err != nil {
			return nil, err
		}
		c.parameters.Set("RoleName", name)
	}
	for _, action := range c.actions() {
		if action == "iam:PassRole" && c.service == "autoscaling" && c.parameters.Get("RoleName") == "" {
			continue // a launch template without a role
		}
		for _, resource := range c.resources(action) {
			out = append(out, c.request(action, resource))
		}
	}
	return out, nil
}

// launchTemplate returns the launch template and version that a call gives to a group.
func (c call) launchTemplate() (id, version string) {
	for _, p := range []string{"LaunchTemplate", "DesiredConfiguration.LaunchTemplate"} {
		if id := c.parameters.Get(p + ".LaunchTemplateId"); id != "" && c.service == "autoscaling" {
			return id, c.parameters.Get(p + ".Version")
		}
	}
	return "", ""
}

// actions returns the action of the call and those that AWS checks with it.
func (c call) actions() []string {
	all := []string{c.action}
	for i := 0; i < len(all); i++ {
		for _, d := range deployer.Dependents {
			if !slices.Contains(d.Of, all[i]) || d.When != "" && !c.has(d.When) {
				continue
			}
			for _, a := range d.Needs {
				if !slices.Contains(all, a) {
					all = append(all, a)
				}
			}
		}
	}
	return all
}

// request returns a request with the condition keys that the policies of stacks and deployers use.
func (c call) request(action, resource string) authz.Request {
	keys := map[string][]string{"aws:PrincipalAccount": {account},
		"aws:SecureTransport": {"true"}, "s3:TlsVersion": {"1.3"}} // as on AWS, where every endpoint has TLS
	switch action {
	case "iam:PassRole":
		keys["iam:PassedToService"] = []string{"ec2.amazonaws.com"}
	case "iam:CreateServiceLinkedRole":
		service := c.service + ".amazonaws.com"
		keys["iam:AWSServiceName"] = []string{service}
		resource = "arn:aws:iam::" + account + ":role/aws-service-role/" + service + "/" + linkedRoles[service]
	}
	if boundary := c.parameters.Get("PermissionsBoundary"); boundary != "" {
		keys["iam:PermissionsBoundary"] = []string{boundary}
	}
	if c.leadingKey != "" {
		keys["dynamodb:LeadingKeys"] = []string{c.leadingKey}
	}
	return authz.Request{Action: action, Resource: resource, Context: keys}
}
