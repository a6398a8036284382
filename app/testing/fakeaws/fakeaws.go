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

// Region is the region of the emulators.
const Region = "us-east-1"

// RealAWS is the endpoint that makes At use AWS with the SDK's own settings.
const RealAWS = "aws"

// Stack names the resources of one deployment.
type Stack struct {
	Table, Bucket, QueueURL, DLQURL string
}

// Flags returns the flags of the binary that select the stack on an emulator.
func (s Stack) Flags() []string {
	return []string{"-table", s.Table, "-bucket", s.Bucket, "-queue-url", s.QueueURL, "-s3-path-style"}
}

// Cloud is an AWS endpoint for tests. Proxy and Queues are nil for an endpoint outside of this process; see At.
type Cloud struct {
	Endpoint string
	Proxy    *Proxy
	Queues   *Queues

	base  aws.Config
	close func()
}

// New starts empty emulators. Close stops them.
func New() *Cloud {
	queues := newQueues()
	proxy := newProxy(newTables(), gofakes3.New(s3mem.New()).Server(), queues)
	server := httptest.NewServer(proxy)
	queues.endpoint = server.URL
	c := &Cloud{Endpoint: server.URL, Proxy: proxy, Queues: queues, base: emulated(server.URL)}
	c.close = func() {
		proxy.close()
		server.CloseClientConnections()
		server.Close()
	}
	return c
}

// Close stops the emulators and closes all connections.
func (c *Cloud) Close() { c.close() }

// Start starts the emulators with one stack until the test ends.
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

// At uses a running endpoint, such as that of moto, or AWS.
func At(ctx context.Context, endpoint string) (*Cloud, error) {
	if endpoint != RealAWS {
		return &Cloud{Endpoint: endpoint, base: emulated(endpoint), close: func() {}}, nil
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the settings of the AWS SDK: %w", err)
	}
	return &Cloud{Endpoint: RealAWS, base: cfg, close: func() {}}, nil
}

func emulated(endpoint string) aws.Config {
	return aws.Config{Region: Region, BaseEndpoint: &endpoint}
}

// Config returns the configuration of clients in this process. The emulators check no signatures, so the access key id
// can name the caller; the proxy distinguishes the roles by it, as IAM would.
func (c *Cloud) Config(caller string) *aws.Config {
	cfg := c.base.Copy()
	if c.Endpoint != RealAWS {
		cfg.Credentials = credentials.NewStaticCredentialsProvider(caller, "secret", "")
	}
	return &cfg
}

// Env returns the variables of child processes, which replace any other settings of the SDK on this machine.
func (c *Cloud) Env(caller string) []string {
	if c.Endpoint == RealAWS {
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

// setupTimeout limits the time to create a table.
const setupTimeout = 2 * time.Minute
