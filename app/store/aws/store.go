// Package aws implements the storage ports on AWS: items in a DynamoDB table, objects in an S3 bucket, hints in an SQS
// queue. It translates the ports to AWS calls and contains no business rules.
//
// Every call has a time limit. An attempt fails when its connection makes no progress for idleTimeout. A call makes up
// to three attempts with full jitter in between, within its bound (timeout.go). Throttling, 5xx responses and network
// errors are retried in this way and then returned as the transient errors of the ports. A retried write may find the
// effect of its own first attempt and return ErrExists or ErrConflict, so callers read the item again after these. The
// retry settings in the environment variables of the SDK are ignored.
package aws

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/logging"

	"imagery/app/imagery"
)

// Options configures a Store.
type Options struct {
	Table    string
	Bucket   string
	QueueURL string
	DLQURL   string // empty: from the queue's redrive policy

	Visibility  time.Duration // visibility timeout of a receive; 0: the queue's own
	MaxReceives int           // reported by Limits; 0: the queue's own
	S3PathStyle bool          // the bucket is in the path of URLs, which S3 emulators need
	Region      string        // empty: from the SDK's own settings
	// ProbeKey is the object that Ping requests. It need not exist, but the role must have permission to read it;
	// permissions are granted by prefix. Empty: processed/readyz.
	ProbeKey string

	Log *slog.Logger // logs retries at level debug; nil: they are not logged
	// AWS replaces the configuration that the SDK loads from its variables and files: region, credentials and
	// endpoints. It is nil outside of tests.
	AWS *aws.Config
}

// Store implements the storage ports on DynamoDB, S3 and SQS. It is safe for concurrent use and need not be closed.
type Store struct {
	catalog *catalog
	blobs   *blobs
	queue   *queue
	dead    *queue
	origin  string
}

// Open returns a Store with its clients. It makes no AWS call, so its errors are configuration errors; an outage shows
// in the first calls.
func Open(ctx context.Context, o Options) (*Store, error) {
	cfg, err := load(ctx, o.AWS, o.Region)
	if err != nil {
		return nil, err
	}
	if o.Log != nil {
		cfg.ClientLogMode |= aws.LogRetries
		cfg.Logger = logging.LoggerFunc(func(_ logging.Classification, format string, v ...any) {
			o.Log.Debug(fmt.Sprintf(format, v...))
		})
	}
	transport := newTransport(cfg)
	client := idleTimeoutClient(transport, idleTimeout)

	db := dynamodb.NewFromConfig(cfg, func(d *dynamodb.Options) { d.HTTPClient, d.Retryer = client, newRetryer() })
	objects := s3.NewFromConfig(cfg, func(s *s3.Options) {
		s.HTTPClient, s.Retryer = client, newRetryer()
		s.UsePathStyle = o.S3PathStyle
		s.DisableLogOutputChecksumValidationSkipped = true // objects of the original application have no checksum
	})
	messages := sqs.NewFromConfig(cfg, func(q *sqs.Options) { q.HTTPClient, q.Retryer = client, newRetryer() })

	s := &Store{
		catalog: &catalog{db: db, table: o.Table},
		blobs: &blobs{api: objects, presign: s3.NewPresignClient(objects), bucket: o.Bucket,
			probeKey: cmp.Or(o.ProbeKey, "processed/readyz")},
		queue: &queue{api: messages, transport: transport, visibility: o.Visibility, maxReceives: o.MaxReceives},
		dead:  &queue{api: messages, transport: transport},
	}
	s.queue.url = func(context.Context) (string, error) { return o.QueueURL, nil }
	s.dead.url = s.queue.deadLetterURL
	if o.DLQURL != "" {
		s.dead.url = func(context.Context) (string, error) { return o.DLQURL, nil }
	}
	if s.origin, err = s.blobs.linkOrigin(ctx); err != nil {
		return nil, fmt.Errorf("find the origin of URLs of bucket %s: %w", o.Bucket, err)
	}
	return s, nil
}

// load returns the given configuration, or the one from the SDK's variables and files.
func load(ctx context.Context, given *aws.Config, region string) (aws.Config, error) {
	if given != nil {
		return given.Copy(), nil
	}
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(region)) // an empty region changes nothing
	if err != nil {
		return aws.Config{}, fmt.Errorf("read the settings of the AWS SDK: %w", err)
	}
	if cfg.Region == "" {
		return aws.Config{}, errors.New("no AWS region: set AWS_REGION")
	}
	return cfg, nil
}

// newTransport returns the connection pool that all clients share. There are only three hosts, so the limit of idle
// connections per host equals the total. TLS and proxy settings of the SDK are kept.
func newTransport(cfg aws.Config) *http.Transport {
	base, ok := cfg.HTTPClient.(*awshttp.BuildableClient)
	if !ok {
		base = awshttp.NewBuildableClient()
	}
	t := base.GetTransport()
	t.MaxIdleConnsPerHost = t.MaxIdleConns
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetWriteBuffer(sendBuffer) // on an error the system default stays, which works except on slow lines
		}
		return conn, err
	}
	return t
}

// Catalog returns the table of images.
func (s *Store) Catalog() imagery.Catalog { return s.catalog }

// Blobs returns the bucket.
func (s *Store) Blobs() imagery.Blobs { return s.blobs }

// Queue returns the queue of hints.
func (s *Store) Queue() imagery.Queue { return s.queue }

// DeadLetters returns the dead-letter queue. If none is configured it receives nothing, and Send returns an error.
func (s *Store) DeadLetters() imagery.Queue { return s.dead }

// ObjectOrigin returns the origin (scheme, host, port) of all presigned URLs, for the Content-Security-Policy.
func (s *Store) ObjectOrigin() string { return s.origin }

// DeleteItem deletes an item if it exists. Only the selftest uses it, for its own item.
func (s *Store) DeleteItem(ctx context.Context, id string) error {
	in := &dynamodb.DeleteItemInput{TableName: &s.catalog.table, Key: item{"id": text(id)}}
	_, err := call(ctx, callBound, s.catalog.db.DeleteItem, in)
	return err
}

// DeleteObject deletes an object if it exists.
func (s *Store) DeleteObject(ctx context.Context, key string) error {
	in := &s3.DeleteObjectInput{Bucket: &s.blobs.bucket, Key: &key}
	_, err := call(ctx, callBound, s.blobs.api.DeleteObject, in)
	return err
}
