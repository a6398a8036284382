package aws

import (
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

// Options say where the images are.
type Options struct {
	Table    string
	Bucket   string
	QueueURL string
	DLQURL   string // empty: from the queue's redrive policy

	Visibility  time.Duration // of a receive; 0: the queue's own
	MaxReceives int           // reported by Limits; 0: the queue's own
	S3PathStyle bool
	Region      string // of a stack that an operator named; empty: as the SDK's own settings say
	// ProbeKey is the object that Ping asks for; it need not exist, but the role must have the right to read it,
	// for rights are granted by prefix. Empty: processed/readyz.
	ProbeKey string

	Log *slog.Logger // repeated attempts, at level debug; nil: nobody wants to know
	// AWS replaces what the SDK's own variables and files say; nil, outside of tests, leaves them in charge of
	// region, credentials and endpoints.
	AWS *aws.Config
}

// Store is the twin of the local one. It is safe for concurrent use and needs no closing.
type Store struct {
	catalog *catalog
	blobs   *blobs
	queue   *queue
	dead    *queue
	origin  string
}

var (
	_ imagery.Catalog = (*catalog)(nil)
	_ imagery.Blobs   = (*blobs)(nil)
	_ imagery.Queue   = (*queue)(nil)
)

// Open prepares the clients. It calls nobody: an AWS that is away shows in the first calls, which fail in
// bounded time and work again when it is back. Its errors are mistakes in the settings.
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
	patient := patientClient(transport, silence)

	db := dynamodb.NewFromConfig(cfg, func(d *dynamodb.Options) { d.HTTPClient, d.Retryer = patient, newRetryer() })
	objects := s3.NewFromConfig(cfg, func(s *s3.Options) {
		s.HTTPClient, s.Retryer = patient, newRetryer()
		s.UsePathStyle = o.S3PathStyle
		s.DisableLogOutputChecksumValidationSkipped = true // objects of the book's app have no checksum
	})
	messages := sqs.NewFromConfig(cfg, func(q *sqs.Options) { q.HTTPClient, q.Retryer = patient, newRetryer() })

	b := &Store{
		catalog: &catalog{db: db, table: o.Table},
		blobs:   &blobs{api: objects, presign: s3.NewPresignClient(objects), bucket: o.Bucket, probe: o.ProbeKey},
		queue:   &queue{api: messages, transport: transport, visibility: o.Visibility, maxReceives: o.MaxReceives},
		dead:    &queue{api: messages, transport: transport},
	}
	if b.blobs.probe == "" {
		b.blobs.probe = "processed/readyz"
	}
	b.queue.url = func(context.Context) (string, error) { return o.QueueURL, nil }
	b.dead.url = b.queue.deadLetterURL
	if o.DLQURL != "" {
		b.dead.url = func(context.Context) (string, error) { return o.DLQURL, nil }
	}
	if b.origin, err = b.blobs.linkOrigin(ctx); err != nil {
		return nil, fmt.Errorf("find the origin of links into bucket %s: %w", o.Bucket, err)
	}
	return b, nil
}

// load reads the SDK's own settings unless a test brings others.
func load(ctx context.Context, given *aws.Config, region string) (aws.Config, error) {
	if given != nil {
		return given.Copy(), nil
	}
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(region)) // an empty one changes nothing
	if err != nil {
		return aws.Config{}, fmt.Errorf("read the settings of the AWS SDK: %w", err)
	}
	if cfg.Region == "" {
		return aws.Config{}, errors.New("no AWS region: set AWS_REGION")
	}
	return cfg, nil
}

// newTransport is one pool of connections for all clients. As many may stay open to one host as to all, since
// there are only three. What the SDK's settings say about TLS and proxies is kept.
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
			_ = tcp.SetWriteBuffer(sendBuffer) // a refusal leaves the system's default, which works but for slow lines
		}
		return conn, err
	}
	return t
}

// Catalog is the table.
func (b *Store) Catalog() imagery.Catalog { return b.catalog }

// Blobs is the bucket.
func (b *Store) Blobs() imagery.Blobs { return b.blobs }

// Queue is the queue of hints.
func (b *Store) Queue() imagery.Queue { return b.queue }

// DeadLetters is the queue behind the queue. When the queue has none it is empty, and sending to it is an error.
func (b *Store) DeadLetters() imagery.Queue { return b.dead }

// ObjectOrigin is the origin (scheme, host, port) that all links have, for the page's content security policy.
func (b *Store) ObjectOrigin() string { return b.origin }

// DeleteItem removes an item, if there is one. The product never does; a selftest clears away its own.
func (b *Store) DeleteItem(ctx context.Context, id string) error { return b.catalog.delete(ctx, id) }

// DeleteObject removes an object, if there is one. The product never does; a selftest clears away its own.
func (b *Store) DeleteObject(ctx context.Context, key string) error {
	return b.blobs.delete(ctx, key)
}
