package doctor

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"

	"imagery/app/deploy/settings"
)

// Cloud is a deployment on AWS as the settings or the stack's outputs name it. What is empty is not looked at.
type Cloud struct {
	AWS           aws.Config
	Settings      settings.Settings // table, bucket, queues
	Stack         string            // "": none was named, and neither alarms nor leftovers can be found
	ReleaseBucket string
	Topic         string // ARN of the alarms' topic
	URL           string // of the service
	Release       string // that the stack shipped, 64 hex digits
	State         State  // what Pulumi says that it made
	Say           func(error) string

	tables  *dynamodb.Client
	objects *s3.Client
	queues  *sqs.Client
}

// Examine looks at everything. Areas are looked at side by side; findings come in the order of the areas. Without
// valid credentials there is nothing else to see.
func (c Cloud) Examine(ctx context.Context) []Finding {
	c.AWS.RetryMaxAttempts = 2   // a person waits, and can ask again
	c.AWS.Logger = logging.Nop{} // what went wrong is a finding
	c.tables, c.queues = dynamodb.NewFromConfig(c.AWS), sqs.NewFromConfig(c.AWS)
	c.objects = s3.NewFromConfig(c.AWS, func(o *s3.Options) { o.UsePathStyle = c.Settings.S3PathStyle })
	who := &area{name: "credentials", say: c.Say}
	if !c.identity(ctx, who) {
		return who.found
	}
	areas := []struct {
		name string
		look func(context.Context, *area)
		skip bool
	}{
		{"settings", c.settings, false}, {"table", c.table, c.Settings.Table == ""}, {"bucket", c.buckets, c.Settings.Bucket == ""},
		{"queue", c.queue, c.Settings.QueueURL == ""}, {"rights", c.rights, c.Settings.Table == ""},
		{"alarms", c.alarms, c.Stack == "" || c.Settings.Table == ""}, {"leftovers", c.leftovers, c.Stack == ""}, {"service", c.service, c.URL == ""},
	}
	found := make([]*area, len(areas))
	var all sync.WaitGroup
	for i, a := range areas {
		found[i] = &area{name: a.name, say: c.Say}
		if !a.skip {
			all.Go(func() { a.look(ctx, found[i]) })
		}
	}
	all.Wait()
	list := who.found
	for _, a := range found {
		list = append(list, a.found...)
	}
	return list
}

// identity asks who the caller is, which needs no rights, and looks at the clock of the answer. It is false when
// nobody can be asked anything.
func (c Cloud) identity(ctx context.Context, a *area) bool {
	out, err := ask(ctx, sts.NewFromConfig(c.AWS).GetCallerIdentity, &sts.GetCallerIdentityInput{})
	if err != nil && refused(err) { // only by a policy of the organization; the rest may work
		a.failed("who you are", err)
		return true
	}
	if err != nil {
		a.wrong("AWS does not take your credentials: "+c.Say(err), "nothing else can be looked at",
			"aws sts get-caller-identity, until that works: aws sso login, or AWS_PROFILE, or the key's variables")
		return false
	}
	a.ok("you are %s", aws.ToString(out.Arn))
	if account := accountOf(c.Settings.QueueURL); account != "" && account != aws.ToString(out.Account) {
		a.wrong("the queue is of account "+account, "your credentials are of another one", "choose the profile of that account: AWS_PROFILE")
	}
	clock := &area{name: "clock", say: c.Say}
	server, ok := middleware.GetServerTime(out.ResultMetadata)
	at, known := middleware.GetResponseAt(out.ResultMetadata)
	if ok && known {
		clock.skew("AWS", server.Sub(at))
	}
	a.found = append(a.found, clock.found...)
	return true
}

// accountOf is the account in a queue's URL, 12 digits, or "".
func accountOf(queueURL string) string {
	u, err := url.Parse(queueURL)
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if len(first) != 12 || strings.Trim(first, "0123456789") != "" {
		return ""
	}
	return first
}

// Clocks that differ by more than skewWarning make ages and logs misleading; AWS refuses requests that are
// skewWrong away from its own.
const (
	skewWarning = 5 * time.Second
	skewWrong   = 4 * time.Minute
)

// skew judges how far another clock is ahead of this machine's. Answers have whole seconds.
func (a *area) skew(who string, ahead time.Duration) {
	text := fmt.Sprintf("this clock and that of %s differ by %s", who, ahead.Abs().Round(time.Second))
	const do = "set this machine's clock: timedatectl set-ntp true"
	switch {
	case ahead.Abs() > skewWrong:
		a.wrong(text, "AWS refuses requests that are five minutes off", do)
	case ahead.Abs() > skewWarning:
		a.warn(text, "ages that verbs print are wrong by as much", do)
	default:
		a.ok("this clock and that of %s agree to %s", who, skewWarning)
	}
}

// settings looks at what was given, before anybody is asked.
func (c Cloud) settings(_ context.Context, a *area) {
	s := c.Settings
	if c.AWS.BaseEndpoint != nil {
		a.info("calls go to "+endpoint(*c.AWS.BaseEndpoint)+" (AWS_ENDPOINT_URL)", "that is no AWS", "")
	} else {
		a.ok("region %s", c.AWS.Region)
	}
	if r := regionOf(s.QueueURL); r != "" && r != c.AWS.Region {
		a.wrong("the queue is in "+r+", the region is "+c.AWS.Region, "table and bucket are looked for in the wrong place", "export AWS_REGION="+r)
	}
	if s.OnAWS() && s.Visibility != 0 && s.Visibility < settings.JobBound {
		a.wrong(fmt.Sprintf("visibility %s is set by hand (%s)", s.Visibility, settings.Named("visibility")),
			fmt.Sprintf("a worker may hold a message for %s; another one would take it meanwhile", settings.JobBound), "unset IMAGERY_VISIBILITY")
	}
	if s.S3PathStyle && c.AWS.BaseEndpoint == nil {
		a.warn("buckets are addressed as a path ("+settings.Named("s3-path-style")+")", "that is for emulators", "unset IMAGERY_S3_PATH_STYLE")
	}
}

// endpoint is a URL without what may be a password in it.
func endpoint(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(unreadable)"
	}
	return u.Scheme + "://" + u.Host
}

// regionOf is the region in a queue's URL, or "".
func regionOf(queueURL string) string {
	u, err := url.Parse(queueURL)
	if err != nil {
		return ""
	}
	host := strings.Split(u.Hostname(), ".")
	if i := slices.Index(host, "sqs"); i == 0 && len(host) > 3 {
		return host[1]
	}
	return ""
}

// service asks the running service what it is, and whether it can do its job.
func (c Cloud) service(ctx context.Context, a *area) {
	release, answer, err := version(ctx, c.URL)
	if err != nil {
		a.warn(c.URL+" does not answer from here: "+err.Error(), "no server runs, or imagery:allowedCidrs shuts this machine out",
			"imagery status; pulumi config get imagery:allowedCidrs")
		return
	}
	if date, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		a.skew("the service", time.Until(date))
	}
	switch {
	case release == "":
		a.wrong(c.URL+"/version answers "+answer.Status+", and no release", "something else answers there, or no server is in service", "imagery status")
	case c.Release != "" && release != c.Release:
		a.warn(fmt.Sprintf("a server runs release %.12s, the stack shipped %.12s", release, c.Release), "a rollout is under way, or it went back", "imagery status")
	default:
		a.ok("release %.12s answers at %s", release, c.URL)
	}
	ready, err := get(ctx, c.URL+"/readyz")
	if err != nil {
		a.warn(c.URL+"/readyz: "+err.Error(), "one answer came, this one did not", "imagery doctor, again")
	} else if ready.Body.Close(); release != "" && ready.StatusCode != http.StatusOK {
		a.wrong("/readyz answers "+ready.Status, "a server cannot reach its table, bucket or queue", "imagery status, then the lines of the servers: docs/runbook.md#server-errors")
	}
}
