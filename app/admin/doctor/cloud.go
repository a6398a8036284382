package doctor

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"

	"imagery/app/client"
	"imagery/app/deploy/iam"
	"imagery/app/deploy/settings"
)

// Cloud is a deployment on AWS, described by the settings or by the stack's outputs. Empty fields are not checked.
type Cloud struct {
	AWS           aws.Config
	Settings      settings.Settings // table, bucket, queues
	Stack         string            // "": neither alarms nor leftovers are checked
	ReleaseBucket string
	Topic         string                                // ARN of the topic of the alarms
	URL           string                                // of the service
	Release       string                                // that the stack deployed, 64 hex digits
	Export        func(context.Context) ([]byte, error) // reads the stack's state in Pulumi
	FormatError   func(error) string

	dynamodb *dynamodb.Client
	s3       *s3.Client
	sqs      *sqs.Client
	queues   func() queues // reads the attributes of both queues once
}

// Examine runs all checks. Without valid credentials it checks nothing else.
func (c Cloud) Examine(ctx context.Context) []Finding {
	c.AWS.RetryMaxAttempts = 2   // a person is waiting, and can repeat the command
	c.AWS.Logger = logging.Nop{} // errors become findings
	c.dynamodb, c.sqs = dynamodb.NewFromConfig(c.AWS), sqs.NewFromConfig(c.AWS)
	c.s3 = s3.NewFromConfig(c.AWS, func(o *s3.Options) { o.UsePathStyle = c.Settings.S3PathStyle })
	c.queues = sync.OnceValue(func() queues { return c.readQueues(ctx) })
	identity := &report{area: "credentials", formatError: c.FormatError}
	if !c.identity(ctx, identity) {
		return identity.findings
	}
	return append(identity.findings, examine(ctx, c.FormatError,
		area{"settings", c.settings, false},
		area{"table", c.table, c.Settings.Table == ""},
		area{"bucket", c.buckets, c.Settings.Bucket == ""},
		area{"queue", c.queue, c.Settings.QueueURL == ""},
		area{"permissions", c.permissions, c.Settings.Table == ""},
		area{"alarms", c.alarms, c.Stack == "" || c.Settings.Table == ""},
		area{"leftovers", c.leftovers, c.Stack == ""},
		area{"service", c.service, c.URL == ""})...)
}

// identity checks the credentials with a call that needs no permission, and the clock with the time in the response. It
// returns false if no call to AWS can succeed.
func (c Cloud) identity(ctx context.Context, r *report) bool {
	out, err := call(ctx, sts.NewFromConfig(c.AWS).GetCallerIdentity, &sts.GetCallerIdentityInput{})
	if accessDenied(err) { // by a policy of the organization; other calls may be allowed
		return r.failed("your identity", err)
	}
	if err != nil {
		r.wrong("AWS rejects your credentials: "+r.formatError(err), "nothing else can be checked",
			"until aws sts get-caller-identity works: aws sso login, or set AWS_PROFILE or the variables of an access key")
		return false
	}
	r.ok("you are %s", aws.ToString(out.Arn))
	if _, account := parseQueueURL(c.Settings.QueueURL); account != "" && account != aws.ToString(out.Account) {
		r.wrong("the queue belongs to account "+account, "your credentials are for another account",
			"set AWS_PROFILE to a profile of that account")
	}
	clock := &report{area: "clock"}
	server, ok := middleware.GetServerTime(out.ResultMetadata)
	if at, known := middleware.GetResponseAt(out.ResultMetadata); ok && known {
		clock.skew("AWS", server.Sub(at))
	}
	r.findings = append(r.findings, clock.findings...)
	return true
}

// queueURLPattern matches the URL of a queue. Its groups are the region and the account; either may be empty, since
// emulators have URLs of other forms.
var queueURLPattern = regexp.MustCompile(`^https?://(?:sqs\.([a-z0-9-]+)\.[^./]+\.[^/]+|[^/]+)/(?:([0-9]{12})/)?`)

// parseQueueURL returns the region and the account in the URL of a queue, or "" for each that is not in it.
func parseQueueURL(queueURL string) (region, account string) {
	if m := queueURLPattern.FindStringSubmatch(queueURL); m != nil {
		return m[1], m[2]
	}
	return "", ""
}

const (
	skewWarning = 5 * time.Second // makes ages and logs misleading
	skewWrong   = 4 * time.Minute // AWS rejects requests at 5 minutes
)

// skew reports how far another clock is ahead of this machine's. Times in responses are whole seconds.
func (r *report) skew(other string, ahead time.Duration) {
	text := fmt.Sprintf("this clock and that of %s differ by %s", other, ahead.Abs().Round(time.Second))
	const do = "set this machine's clock: timedatectl set-ntp true"
	switch {
	case ahead.Abs() > skewWrong:
		r.wrong(text, "AWS rejects requests that are five minutes off", do)
	case ahead.Abs() > skewWarning:
		r.warn(text, "ages that commands print are wrong by as much", do)
	default:
		r.ok("this clock and that of %s agree within %s", other, skewWarning)
	}
}

// settings checks the settings themselves, without calls.
func (c Cloud) settings(_ context.Context, r *report) {
	s := c.Settings
	if u, err := url.Parse(aws.ToString(c.AWS.BaseEndpoint)); err == nil && u.Host != "" {
		r.info("calls go to "+u.Redacted()+" (AWS_ENDPOINT_URL)", "this is not AWS", "")
	} else {
		r.ok("region %s", c.AWS.Region)
	}
	if region, _ := parseQueueURL(s.QueueURL); region != "" && region != c.AWS.Region {
		r.wrong("the queue is in "+region+", the region is "+c.AWS.Region,
			"table and bucket are looked up in the wrong region", "export AWS_REGION="+region)
	}
	if s.OnAWS() && s.Visibility != 0 && s.Visibility < settings.JobTimeout {
		r.wrong(fmt.Sprintf("visibility %s is set by hand (%s)", s.Visibility, settings.Named("visibility")),
			fmt.Sprintf("a job may take %s; meanwhile another worker would receive its message", settings.JobTimeout),
			"unset IMAGERY_VISIBILITY")
	}
	if s.S3PathStyle && c.AWS.BaseEndpoint == nil {
		r.warn("path-style addresses of buckets are on ("+settings.Named("s3-path-style")+")",
			"only emulators need them", "unset IMAGERY_S3_PATH_STYLE")
	}
}

// absent is an id, key and receipt handle that do not exist.
const absent = "doctor"

// probes returns calls without an effect, by the permission that they need. DynamoDB and SQS check permissions before
// keys and receipt handles; S3 answers 404 only to callers who may read. So every error but a denial means that the
// permission is granted, or that its state is reported by the check of the resource.
func (c Cloud) probes(dlqURL string) map[string]func(context.Context) error {
	table, bucket, queueURL := &c.Settings.Table, &c.Settings.Bucket, &c.Settings.QueueURL
	key := map[string]ddb.AttributeValue{"id": &ddb.AttributeValueMemberS{Value: absent}}
	arn := []types.QueueAttributeName{types.QueueAttributeNameQueueArn}
	id := aws.String(absent)
	return map[string]func(context.Context) error{
		"dynamodb:GetItem table": probe(c.dynamodb.GetItem, &dynamodb.GetItemInput{TableName: table, Key: key}),
		"dynamodb:UpdateItem table": probe(c.dynamodb.UpdateItem, &dynamodb.UpdateItemInput{TableName: table, Key: key,
			ConditionExpression: aws.String("attribute_exists(id)"), UpdateExpression: aws.String("REMOVE doctor")}),
		"dynamodb:Scan table": probe(c.dynamodb.Scan, &dynamodb.ScanInput{TableName: table, Limit: aws.Int32(1)}),
		"s3:ListBucket bucket": probe(c.s3.ListObjectsV2,
			&s3.ListObjectsV2Input{Bucket: bucket, MaxKeys: aws.Int32(1)}),
		"s3:GetObject bucket/upload/*": probe(c.s3.GetObject,
			&s3.GetObjectInput{Bucket: bucket, Key: aws.String(originals + absent)}),
		"s3:GetObject bucket/processed/*": probe(c.s3.GetObject,
			&s3.GetObjectInput{Bucket: bucket, Key: aws.String(results + absent)}),
		"sqs:GetQueueAttributes queue": probe(c.sqs.GetQueueAttributes,
			&sqs.GetQueueAttributesInput{QueueUrl: queueURL, AttributeNames: arn}),
		"sqs:GetQueueAttributes dead-letters": probe(c.sqs.GetQueueAttributes,
			&sqs.GetQueueAttributesInput{QueueUrl: &dlqURL, AttributeNames: arn}),
		"sqs:ChangeMessageVisibility dead-letters": probe(c.sqs.ChangeMessageVisibilityBatch,
			&sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &dlqURL,
				Entries: []types.ChangeMessageVisibilityBatchRequestEntry{{Id: id, ReceiptHandle: id}}}),
		"sqs:DeleteMessage dead-letters": probe(c.sqs.DeleteMessageBatch, &sqs.DeleteMessageBatchInput{QueueUrl: &dlqURL,
			Entries: []types.DeleteMessageBatchRequestEntry{{Id: id, ReceiptHandle: id}}}),
	}
}

func probe[In, Out, Options any](
	operation func(context.Context, *In, ...func(*Options)) (*Out, error), in *In,
) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := call(ctx, operation, in)
		return err
	}
}

// unprobed are the permissions that cannot be checked without an effect.
var unprobed = []string{"s3:DeleteObject bucket/upload/*", "s3:DeleteObject bucket/processed/*",
	"sqs:SendMessage queue", "sqs:ReceiveMessage dead-letters"}

// permission returns the name of a permission in probes and unprobed.
func permission(a iam.Action) string { return a.Name() + " " + string(a.Resource) }

// permissions checks the permissions of the caller that the commands about images need.
func (c Cloud) permissions(ctx context.Context, r *report) {
	dlqURL := c.queues().dead.url
	probes := c.probes(dlqURL)
	checked, missing := 0, 0
	for _, action := range iam.Operator {
		probe := probes[permission(action)]
		if probe == nil || action.Resource == iam.DeadLetters && dlqURL == "" {
			continue
		}
		checked++
		if err := probe(ctx); accessDenied(err) {
			missing++
			r.wrong(fmt.Sprintf("no permission for %s on the %s", action.Name(), action.Resource),
				"it is needed to: "+action.Reason, grantPermissions)
		}
	}
	if missing == 0 {
		r.ok("%d permissions of the commands are granted; not checked, since that would change something: %s",
			checked, strings.Join(unprobed, ", "))
	}
}

// service checks which release the running service has, and whether it is ready.
func (c Cloud) service(ctx context.Context, r *report) {
	release, res, err := version(ctx, c.URL)
	if err != nil {
		r.warn(c.URL+" does not answer from here: "+err.Error(),
			"no server is running, or imagery:allowedCidrs excludes this machine",
			"imagery status; pulumi config get imagery:allowedCidrs")
		return
	}
	if date, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		r.skew("the service", time.Until(date))
	}
	switch {
	case release == "":
		r.wrong(fmt.Sprintf("%s/version answers %d and no release", c.URL, res.Status),
			"another program answers there, or no server is in service", "imagery status")
	case c.Release != "" && release != c.Release:
		r.warn(fmt.Sprintf("a server runs release %.12s, the stack deployed %.12s", release, c.Release),
			"a rollout is in progress, or was rolled back", "imagery status")
	default:
		r.ok("release %.12s answers at %s", release, c.URL)
	}
	ready, err := get(ctx, c.URL, "/readyz")
	if err != nil {
		r.warn(c.URL+": "+err.Error(), "the request before this one succeeded", "run again: imagery doctor")
	} else if release != "" && ready.Status != http.StatusOK {
		r.wrong(fmt.Sprintf("/readyz answers %d", ready.Status), "a server cannot reach its table, bucket or queue",
			"imagery status, then read the servers' logs: docs/runbook.md#server-errors")
	}
}

var releasePattern = regexp.MustCompile(`^[0-9a-f]{64}\n?$`)

// version requests the release of a service; it is empty if another program answers.
func version(ctx context.Context, base string) (release string, res client.Response, err error) {
	res, err = get(ctx, base, "/version")
	if err == nil && res.Status == http.StatusOK && releasePattern.Match(res.Body) {
		release = strings.TrimSpace(string(res.Body))
	}
	return release, res, err
}

// httpClient follows no redirects, since another service could answer there.
var httpClient = &http.Client{Timeout: callTimeout, CheckRedirect: func(*http.Request, []*http.Request) error {
	return http.ErrUseLastResponse
}}

func get(ctx context.Context, base, path string) (client.Response, error) {
	c := client.New(strings.TrimSuffix(base, "/"))
	c.HTTP, c.MaxBody = httpClient, 1<<20
	return c.Do(ctx, http.MethodGet, path, nil, nil)
}
