package main

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"imagery/infra/deployer"
	"imagery/infra/testing/authz"
)

// signed returns a request that is signed for a service. Query strings of EC2 and others are the body.
func signed(service, method, path, target, body string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=rehearsal/20261129/us-east-1/"+service+"/aws4_request, Sig")
	if target != "" {
		r.Header.Set("X-Amz-Target", target)
	} else if strings.HasPrefix(body, "Action=") {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	}
	return r
}

// requestsOf returns the permissions that a call needs, as "action resource".
func requestsOf(t *testing.T, r *http.Request, body string) (out []string) {
	t.Helper()
	requests, err := callOf(r, []byte(body)).requests(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range requests {
		out = append(out, r.Action+" "+r.Resource)
	}
	return out
}

// here is the part of an ARN with region and account.
const here = ":us-east-1:123456789012:"

func TestCallsNeedPermissions(t *testing.T) {
	const s3Tags = "/v20180820/tags/arn%3Aaws%3As3%3A%3A%3Aimagery-x"
	for _, c := range []struct {
		service, method, path, target, body string
		want                                []string
	}{
		{"ec2", "POST", "/", "", "Action=CreateVpc&TagSpecification.1.ResourceType=vpc&TagSpecification.1.Tag.1.Key=a",
			[]string{"ec2:CreateVpc arn:aws:ec2" + here + "vpc/*", "ec2:CreateTags arn:aws:ec2" + here + "vpc/*"}},
		{"ec2", "POST", "/", "", "Action=CreateVpc", []string{"ec2:CreateVpc arn:aws:ec2" + here + "vpc/*"}},
		{"ec2", "POST", "/", "", "Action=CreateVpcEndpoint&VpcId=vpc-1&PrivateDnsEnabled=false", []string{
			"ec2:CreateVpcEndpoint arn:aws:ec2" + here + "vpc-endpoint/*",
			"ec2:CreateVpcEndpoint arn:aws:ec2" + here + "vpc/vpc-1"}},
		{"ec2", "POST", "/", "", "Action=CreateVpcEndpoint&VpcId=vpc-1&PrivateDnsEnabled=true", []string{
			"ec2:CreateVpcEndpoint arn:aws:ec2" + here + "vpc-endpoint/*",
			"ec2:CreateVpcEndpoint arn:aws:ec2" + here + "vpc/vpc-1",
			"route53:AssociateVPCWithHostedZone *", "ec2:DescribeVpcs *"}},
		{"ec2", "POST", "/", "", "Action=AttachInternetGateway&InternetGatewayId=igw-1&VpcId=vpc-1", []string{
			"ec2:AttachInternetGateway arn:aws:ec2" + here + "internet-gateway/igw-1",
			"ec2:AttachInternetGateway arn:aws:ec2" + here + "vpc/vpc-1"}},
		{"ec2", "POST", "/", "", "Action=DescribeVpcs&VpcId.1=vpc-1", []string{"ec2:DescribeVpcs *"}},
		{"elasticloadbalancing", "POST", "/", "", "Action=CreateTargetGroup&Name=imagery-x", []string{
			"elasticloadbalancing:CreateTargetGroup arn:aws:elasticloadbalancing" + here + "targetgroup/imagery-x/*"}},
		{"elasticloadbalancing", "POST", "/", "", "Action=DeleteListener&ListenerArn=arn:aws:l", []string{
			"elasticloadbalancing:DeleteListener arn:aws:l"}},
		{"autoscaling", "POST", "/", "", "Action=CompleteLifecycleAction&AutoScalingGroupName=imagery-x", []string{
			"autoscaling:CompleteLifecycleAction arn:aws:autoscaling" + here +
				"autoScalingGroup:*:autoScalingGroupName/imagery-x"}},
		{"iam", "POST", "/", "", "Action=CreateRole&RoleName=imagery-x&Tags.member.1.Key=a", []string{
			"iam:CreateRole arn:aws:iam::123456789012:role/imagery-x",
			"iam:TagRole arn:aws:iam::123456789012:role/imagery-x"}},
		{"iam", "POST", "/", "", "Action=AddRoleToInstanceProfile&RoleName=imagery-x&InstanceProfileName=imagery-p", []string{
			"iam:AddRoleToInstanceProfile arn:aws:iam::123456789012:instance-profile/imagery-p",
			"iam:PassRole arn:aws:iam::123456789012:role/imagery-x"}},
		{"iam", "POST", "/", "", "Action=GetRole&RoleName=AWSServiceRoleForAutoScaling", []string{"iam:GetRole " +
			"arn:aws:iam::123456789012:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"}},
		{"sns", "POST", "/", "", "Action=GetSubscriptionAttributes&SubscriptionArn=arn:aws:sns" + here + "imagery-t:5-e",
			[]string{"sns:GetSubscriptionAttributes arn:aws:sns" + here + "imagery-t"}},
		{"sts", "POST", "/", "", "Action=GetCallerIdentity", []string{"sts:GetCallerIdentity *"}},
		{"ssm", "POST", "/", "AmazonSSM.GetParameter", `{"Name":"/aws/service/ami"}`, []string{
			"ssm:GetParameter arn:aws:ssm:us-east-1::parameter/aws/service/ami"}},
		{"logs", "POST", "/", "Logs_20140328.CreateLogGroup", `{"logGroupName":"/imagery/x","tags":{"a":"b"}}`, []string{
			"logs:CreateLogGroup arn:aws:logs" + here + "log-group:/imagery/x:log-stream:",
			"logs:TagResource arn:aws:logs" + here + "log-group:/imagery/x:log-stream:"}},
		{"sqs", "POST", "/", "AmazonSQS.CreateQueue", `{"QueueName":"imagery-q","tags":{}}`, []string{
			"sqs:CreateQueue arn:aws:sqs" + here + "imagery-q"}},
		{"sqs", "POST", "/", "AmazonSQS.DeleteMessageBatch", `{"QueueUrl":"http://10.99.0.1:4566/123456789012/q"}`,
			[]string{"sqs:DeleteMessage arn:aws:sqs" + here + "q"}},
		{"dynamodb", "POST", "/", "DynamoDB_20120810.Query", `{"TableName":"t","IndexName":"i"}`, []string{
			"dynamodb:Query arn:aws:dynamodb" + here + "table/t/index/i"}},
		{"dynamodb", "POST", "/", "DynamoDB_20120810.CreateTable", `{"TableName":"t","Tags":[{"Key":"a"}]}`, []string{
			"dynamodb:CreateTable arn:aws:dynamodb" + here + "table/t",
			"dynamodb:TagResource arn:aws:dynamodb" + here + "table/t"}},
		{"monitoring", "POST", "/", "GraniteServiceVersion20100801.DeleteAlarms", `{"AlarmNames":["a","b"]}`, []string{
			"cloudwatch:DeleteAlarms arn:aws:cloudwatch" + here + "alarm:a",
			"cloudwatch:DeleteAlarms arn:aws:cloudwatch" + here + "alarm:b"}},
		{"s3", "HEAD", "/imagery-x", "", "", []string{"s3:ListBucket arn:aws:s3:::imagery-x"}},
		{"s3", "GET", "/imagery-x?list-type=2&prefix=", "", "", []string{"s3:ListBucket arn:aws:s3:::imagery-x"}},
		{"s3", "GET", "/imagery-x?encryption=", "", "", []string{"s3:GetEncryptionConfiguration arn:aws:s3:::imagery-x"}},
		{"s3", "PUT", "/imagery-x", "", "<C><Tags><Tag/></Tags></C>", []string{
			"s3:CreateBucket arn:aws:s3:::imagery-x", "s3:TagResource arn:aws:s3:::imagery-x"}},
		{"s3", "PUT", "/imagery-x/upload/1/a?x-id=PutObject", "", "x", []string{
			"s3:PutObject arn:aws:s3:::imagery-x/upload/1/a"}},
		{"s3", "POST", "/imagery-x?delete=", "", "<Delete><Object><Key>a/b</Key></Object></Delete>", []string{
			"s3:DeleteObject arn:aws:s3:::imagery-x/a/b"}},
		{"s3", "GET", s3Tags, "", "", []string{"s3:ListTagsForResource arn:aws:s3:::imagery-x"}},
	} {
		got := requestsOf(t, signed(c.service, c.method, c.path, c.target, c.body), c.body)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s %s %s %s\n got %q\nwant %q", c.method, c.path, c.target, c.body, got, c.want)
		}
	}
}

// TestCreateLoadBalancerNeedsALinkedRole: dependent actions have condition keys of their own.
func TestCreateLoadBalancerNeedsALinkedRole(t *testing.T) {
	body := "Action=CreateLoadBalancer&Name=imagery-x"
	c := callOf(signed("elasticloadbalancing", "POST", "/", "", body), []byte(body))
	requests, err := c.requests(t.Context(), nil)
	i := slices.IndexFunc(requests, func(r authz.Request) bool { return r.Action == "iam:CreateServiceLinkedRole" })
	if err != nil || i < 0 || !slices.Equal(requests[i].Context["iam:AWSServiceName"],
		[]string{"elasticloadbalancing.amazonaws.com"}) || !strings.HasSuffix(requests[i].Resource,
		"role/aws-service-role/elasticloadbalancing.amazonaws.com/AWSServiceRoleForElasticLoadBalancing") {
		t.Errorf("%+v, %v", requests, err)
	}
}

func TestItemsHaveLeadingKeys(t *testing.T) {
	body := `{"TableName":"t","Key":{"id":{"S":"5e1f7e57-1"}}}`
	requests, err := callOf(signed("dynamodb", "POST", "/", "DynamoDB_20120810.GetItem", body), []byte(body)).
		requests(t.Context(), nil)
	if err != nil || len(requests) != 1 || !slices.Equal(requests[0].Context["dynamodb:LeadingKeys"],
		[]string{"5e1f7e57-1"}) {
		t.Errorf("%+v, %v", requests, err)
	}
}

// TestActionsOfS3AreAWSs: a wrong name would be denied for ever.
func TestActionsOfS3AreAWSs(t *testing.T) {
	for key, a := range s3Actions {
		if authz.Reference()["s3:"+a].Source == "" {
			t.Errorf("%s is s3:%s, which AWS's reference does not have", key, a)
		}
	}
}

// TestResourcesHaveARNs: an action that a deployer has for some names only is checked on an ARN.
func TestResourcesHaveARNs(t *testing.T) {
	for _, a := range deployer.Actions() {
		service, _, _ := strings.Cut(a, ":")
		for _, kind := range authz.Reference()[a].Required {
			if kind != "stream" && kind != "network-interface" && formOf(service, kind).arn == "" {
				t.Errorf("%s is checked on a %s %s, which has no ARN", a, service, kind)
			}
		}
	}
}
