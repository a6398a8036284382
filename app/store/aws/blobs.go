package aws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"imagery/app/imagery"
)

// blobs implements imagery.Blobs on a bucket without ACLs.
type blobs struct {
	api      *s3.Client
	presign  *s3.PresignClient
	bucket   string
	probeKey string // the object that Ping requests
}

// linkLife is the lifetime of a presigned URL, the longest that the port allows. A URL expires earlier if the
// credentials that signed it do.
const linkLife = 15 * time.Minute

// Put stores the object with a SHA-256 checksum, which S3 verifies before it answers.
func (b *blobs) Put(ctx context.Context, key, contentType string, body io.ReadSeeker, size int64) error {
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("rewind the body: %w", err)
	}
	_, err := call(ctx, boundFor(size), b.api.PutObject, &s3.PutObjectInput{
		Bucket: &b.bucket, Key: &key, ContentType: &contentType, Body: body, ContentLength: &size,
		ChecksumAlgorithm: types.ChecksumAlgorithmSha256,
	})
	return err
}

// Get reads the object and verifies its checksum, if it has one. It does not resume an interrupted transfer; the caller
// retries with the whole object.
func (b *blobs) Get(ctx context.Context, key string, limit int64) ([]byte, error) {
	return within(ctx, boundFor(limit), func(ctx context.Context) ([]byte, error) { return b.get(ctx, key, limit) })
}

func (b *blobs) get(ctx context.Context, key string, limit int64) ([]byte, error) {
	out, err := b.api.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &b.bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled,
	})
	if err != nil {
		return nil, mapObject(err)
	}
	defer out.Body.Close()
	size := aws.ToInt64(out.ContentLength)
	if size > limit { // before it is read into memory
		return nil, fmt.Errorf("object %s has %d bytes, more than %d", key, size, limit)
	}
	var buf bytes.Buffer
	buf.Grow(int(size) + bytes.MinRead) // one allocation: the worker's memory pool counts the photo's bytes once
	if _, err := buf.ReadFrom(io.LimitReader(out.Body, limit+1)); err != nil {
		return nil, fmt.Errorf("read object %s: %w", key, err)
	}
	if int64(buf.Len()) > limit {
		return nil, fmt.Errorf("object %s has more than %d bytes", key, limit)
	}
	return buf.Bytes(), nil
}

// Link returns a presigned URL without checking that the object exists. S3 checks the permission of the signing role
// when the URL is used. Browsers are told not to cache the photo, because only the expiry of the URL protects it.
func (b *blobs) Link(ctx context.Context, key, filename string) (imagery.Link, error) {
	in := &s3.GetObjectInput{Bucket: &b.bucket, Key: &key, ResponseCacheControl: aws.String("no-store")}
	if filename != "" {
		disposition := mime.FormatMediaType("attachment", map[string]string{"filename": filename})
		in.ResponseContentDisposition = &disposition
	}
	// The credentials may have to be fetched.
	signed, err := call(ctx, callBound, b.presign.PresignGetObject, in, s3.WithPresignExpires(linkLife))
	if err != nil {
		return imagery.Link{}, fmt.Errorf("sign a link to %s: %w", key, err)
	}
	return imagery.Link{URL: signed.URL}, nil
}

// linkOrigin returns the origin of all presigned URLs. It signs one with placeholder credentials, because the real ones
// may not be available yet.
func (b *blobs) linkOrigin(ctx context.Context) (string, error) {
	placeholder := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "placeholder", SecretAccessKey: "placeholder"}, nil
	})
	in := &s3.GetObjectInput{Bucket: &b.bucket, Key: &b.probeKey}
	signed, err := b.presign.PresignGetObject(ctx, in, func(p *s3.PresignOptions) {
		p.ClientOptions = append(p.ClientOptions, func(o *s3.Options) { o.Credentials = placeholder })
	})
	if err != nil {
		return "", err
	}
	u, err := url.Parse(signed.URL)
	if err != nil {
		return "", err
	}
	return u.Scheme + "://" + u.Host, nil
}

// Ping requests an object that need not exist. The statuses 404 and 403 also prove that S3 responds: without permission
// to list the bucket, S3 answers 403 for a missing key.
func (b *blobs) Ping(ctx context.Context) error {
	_, err := call(ctx, callBound, b.api.HeadObject, &s3.HeadObjectInput{Bucket: &b.bucket, Key: &b.probeKey})
	if res, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		switch res.HTTPStatusCode() {
		case http.StatusNotFound, http.StatusForbidden:
			return nil
		}
	}
	return err
}

// mapObject maps the error codes of a missing and a denied object to ErrNotFound and ErrDenied. It does not use the
// HTTP status: a missing bucket is also a 404, and an expired token or a skewed clock a 403, which are transient
// errors.
func mapObject(err error) error {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return err
	}
	switch api.ErrorCode() {
	case "NoSuchKey":
		return fmt.Errorf("%w: %w", imagery.ErrNotFound, err)
	case "AccessDenied":
		return fmt.Errorf("%w: %w", imagery.ErrDenied, err)
	}
	return err
}
