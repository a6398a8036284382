package fakeaws

import (
	"context"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"imagery/app/imagery"
)

// Region that the emulators pretend to be in.
const Region = "us-east-1"

// Itself is the endpoint At takes for AWS: the SDK's own variables say the rest.
const Itself = "aws"

// Stack names the resources that the product needs.
type Stack struct {
	Table, Bucket, QueueURL, DLQURL string
}

// Cloud is an AWS endpoint for tests. Edge and Queues are nil for an endpoint of another program, see At.
type Cloud struct {
	Endpoint string
	Edge     *Edge
	Queues   *Queues

	base  aws.Config
	close func()
}

// New starts the emulators, empty. Close ends them.
func New() *Cloud {
	queues := newQueues()
	edge := newEdge(newTables(), gofakes3.New(s3mem.New()).Server(), queues)
	server := httptest.NewServer(edge)
	queues.endpoint = server.URL
	c := &Cloud{Endpoint: server.URL, Edge: edge, Queues: queues, base: emulated(server.URL)}
	c.close = func() {
		edge.close()
		server.CloseClientConnections()
		server.Close()
	}
	return c
}

// Close ends the emulators; requests in flight are cut.
func (c *Cloud) Close() { c.close() }

// Start starts the emulators with one stack, until the test ends.
func Start(t testing.TB, limits imagery.Limits) (*Cloud, Stack) {
	t.Helper()
	c := New()
	t.Cleanup(c.Close)
	s, err := c.NewStack(context.Background(), "imagery", limits)
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

// At uses an endpoint that runs already, such as moto's, or AWS itself.
func At(ctx context.Context, endpoint string) (*Cloud, error) {
	if endpoint != Itself {
		return &Cloud{Endpoint: endpoint, base: emulated(endpoint), close: func() {}}, nil
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the settings of the AWS SDK: %w", err)
	}
	return &Cloud{Endpoint: Itself, base: cfg, close: func() {}}, nil
}

func emulated(endpoint string) aws.Config {
	return aws.Config{Region: Region, BaseEndpoint: &endpoint}
}

// Config is for clients of this process. The emulators check no signatures, so that any caller may be an access
// key id; the edge records it, and so tells the roles apart as IAM would.
func (c *Cloud) Config(caller string) *aws.Config {
	cfg := c.base.Copy()
	if c.Endpoint != Itself {
		cfg.Credentials = credentials.NewStaticCredentialsProvider(caller, "secret", "")
	}
	return &cfg
}

// Env is for child processes: NAME=value lines that replace whatever the SDK could find on this machine.
func (c *Cloud) Env(caller string) []string {
	if c.Endpoint == Itself {
		return nil
	}
	return []string{
		"AWS_ENDPOINT_URL=" + c.Endpoint,
		"AWS_ENDPOINT_URL_DYNAMODB=" + c.Endpoint,
		"AWS_ENDPOINT_URL_S3=" + c.Endpoint,
		"AWS_ENDPOINT_URL_SQS=" + c.Endpoint,
		"AWS_REGION=" + Region,
		"AWS_ACCESS_KEY_ID=" + caller,
		"AWS_SECRET_ACCESS_KEY=secret",
		"AWS_SESSION_TOKEN=",
		"AWS_PROFILE=",
		"AWS_CONFIG_FILE=/dev/null",
		"AWS_SHARED_CREDENTIALS_FILE=/dev/null",
		"AWS_EC2_METADATA_DISABLED=true",
	}
}

// setupBound is how long AWS may take to make a table.
const setupBound = 2 * time.Minute
