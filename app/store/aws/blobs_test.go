package aws_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	awsstore "imagery/app/store/aws"
	"imagery/app/testing/fakeaws"
)

func TestLink(t *testing.T) {
	t.Parallel()
	at, _, b := started(t)
	must(t, put(t, b, "processed/an id/x.png", []byte("linked")))
	at.Proxy.Clear()
	for _, filename := range []string{"", "sepia.png", `Müller's "best".png`} {
		link, err := b.Blobs().Link(t.Context(), "processed/an id/x.png", filename)
		must(t, err)
		u, err := url.Parse(link.URL)
		must(t, err)
		if seconds, err := strconv.Atoi(u.Query().Get("X-Amz-Expires")); err != nil || seconds <= 0 || seconds > 900 {
			t.Errorf("the link expires after %q seconds", u.Query().Get("X-Amz-Expires"))
		}
		if origin := u.Scheme + "://" + u.Host; origin != b.ObjectOrigin() {
			t.Errorf("the link leads to %s, the policy allows %s", origin, b.ObjectOrigin())
		}
		res, err := http.Get(link.URL)
		must(t, err)
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || string(body) != "linked" || res.Header.Get("Cache-Control") != "no-store" ||
			res.Header.Get("Content-Type") != "image/png" {
			t.Errorf("%s: %q, %v, %v", res.Status, body, res.Header, err)
		}
		got := ""
		if d := res.Header.Get("Content-Disposition"); d != "" {
			_, params, err := mime.ParseMediaType(d)
			must(t, err)
			got = params["filename"]
		}
		if got != filename {
			t.Errorf("the download is called %q, want %q", got, filename)
		}
	}
	for _, c := range at.Proxy.Calls() {
		if c.Operation != "GetObject" {
			t.Errorf("a link made the call %+v", c)
		}
	}
}

// On AWS the origin is the bucket's own host. No credentials are needed to determine it.
func TestObjectOriginOfAWS(t *testing.T) {
	t.Parallel()
	for pathStyle, want := range map[bool]string{
		false: "https://bucket.s3.eu-west-1.amazonaws.com",
		true:  "https://s3.eu-west-1.amazonaws.com",
	} {
		b, err := awsstore.Open(t.Context(),
			awsstore.Options{Bucket: "bucket", S3PathStyle: pathStyle, AWS: &aws.Config{Region: "eu-west-1"}})
		must(t, err)
		if got := b.ObjectOrigin(); got != want {
			t.Errorf("origin %s, want %s", got, want)
		}
	}
}

func TestPutTypeAndChecksum(t *testing.T) {
	t.Parallel()
	at, stack, b := started(t)
	must(t, put(t, b, "processed/x.png", []byte("checked")))
	out, err := at.S3().GetObject(t.Context(),
		&s3.GetObjectInput{Bucket: &stack.Bucket, Key: aws.String("processed/x.png"), ChecksumMode: "ENABLED"})
	must(t, err)
	defer out.Body.Close()
	sum := sha256.Sum256([]byte("checked"))
	if aws.ToString(out.ContentType) != "image/png" ||
		aws.ToString(out.ChecksumSHA256) != base64.StdEncoding.EncodeToString(sum[:]) {
		t.Errorf("type %s, checksum %s", aws.ToString(out.ContentType), aws.ToString(out.ChecksumSHA256))
	}
}

// Over TLS, as on AWS, the SDK sends the checksum after the body. An HTTP client in the SDK configuration, as
// AWS_CA_BUNDLE creates one, is used.
func TestPutOverTLS(t *testing.T) {
	t.Parallel()
	photo := bytes.Repeat([]byte("photo"), 1<<20)
	var headers http.Header
	var body []byte
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		headers = r.Header
		body, _ = io.ReadAll(r.Body)
	}))
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	at, err := fakeaws.At(t.Context(), server.URL)
	must(t, err)
	cfg := at.Config("test")
	cfg.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(tr *http.Transport) {
		tr.TLSClientConfig = &tls.Config{RootCAs: roots}
	})
	b, err := awsstore.Open(t.Context(), awsstore.Options{Bucket: "bucket", S3PathStyle: true, AWS: cfg})
	must(t, err)
	must(t, put(t, b, "upload/x", photo))
	if headers.Get("X-Amz-Decoded-Content-Length") != strconv.Itoa(len(photo)) || headers.Get("X-Amz-Acl") != "" {
		t.Errorf("the headers are %v", headers)
	}
	sum := sha256.Sum256(photo)
	if !bytes.Contains(body, photo[:60000]) ||
		!bytes.Contains(body, []byte("x-amz-checksum-sha256:"+base64.StdEncoding.EncodeToString(sum[:]))) {
		t.Errorf("the body ends with %q", body[max(0, len(body)-200):])
	}
}
