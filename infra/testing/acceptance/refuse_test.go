package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// fakePulumi puts a script in place of the CLI. It notes its arguments in a file, which calls returns.
func fakePulumi(t *testing.T, script string) (calls func() string) {
	t.Helper()
	dir := t.TempDir()
	noted := filepath.Join(dir, "calls")
	text := "#!/bin/sh\necho \"$1 $2\" >>" + noted + "\n" + script
	if err := os.WriteFile(filepath.Join(dir, "pulumi"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func() string {
		b, _ := os.ReadFile(noted) // none: it was not called
		return string(b)
	}
}

// newRun returns a run in a scratch checkout.
func newRun(t *testing.T) *test {
	r := &test{out: t.Output(), begun: time.Now(), pictures: readAll(t), side: side{factor: 10}}
	r.stack, r.checkout, r.work = "dev", t.TempDir(), t.TempDir()
	return r
}

// account answers the calls about the photos of a stack: one object of the bucket, and one item of the table.
func account(t *testing.T, object, item string) aws.Config {
	at := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".Scan") {
			fmt.Fprintf(w, `{"Items":[{"rawS3Key":{"S":%q}},{}]}`, item)
			return
		}
		if r.Method == http.MethodPost { // EC2
			fmt.Fprint(w, "<DescribeNetworkAclsResponse/>")
			return
		}
		contents := ""
		if prefix := r.URL.Query().Get("prefix"); strings.HasPrefix(object, prefix) {
			contents = "<Contents><Key>" + object + "</Key></Contents>"
		}
		fmt.Fprintf(w, "<ListBucketResult>%s</ListBucketResult>", contents)
	}))
	t.Cleanup(at.Close)
	return aws.Config{Region: "us-east-1", BaseEndpoint: &at.URL,
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}
}

const stackOutputs = `[ "$1 $2" != "stack output" ] ||
  echo '{"imagesBucket":"photos","table":"images","region":"eu-west-1"}'`

// TestRefuse: a stack with a photo of others is refused, wherever it is; one of an earlier run exists.
func TestRefuse(t *testing.T) {
	r := newRun(t)
	if err := os.MkdirAll(filepath.Join(r.checkout, "app/admin/smoke/pictures"), 0o755); err != nil {
		t.Fatal(err)
	}
	own, err := r.pictures.own(r.checkout)
	if err != nil {
		t.Fatal(err)
	}
	mine, other := sorted(own)[0], strings.Repeat("ab", 32)
	for _, c := range []struct {
		name, object, item string
		refused            bool
	}{
		{"own", "processed/1/" + mine + ".jpg", "upload/1/" + mine, false},
		{"an original of others", "upload/2/" + other, "upload/1/" + mine, true},
		{"a result of others", "processed/2/" + other + ".png", "upload/1/" + mine, true},
		{"only an item of others", "selftest/x", "upload/2/" + other, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			calls := fakePulumi(t, stackOutputs)
			r.out, r.aws = t.Output(), account(t, c.object, c.item)
			exists, err := r.refuse(t.Context())
			if usage := usageError(""); !exists || errors.As(err, &usage) != c.refused || err != nil && !c.refused {
				t.Errorf("%v, %v, refused: %v", exists, err, c.refused)
			}
			if c.refused && !strings.Contains(err.Error(), "holds 1 photos of others, such as ") {
				t.Error(err)
			}
			if r.aws.Region != "eu-west-1" || calls() != "stack output\n" {
				t.Errorf("looked in region %s; pulumi was called: %s", r.aws.Region, calls())
			}
		})
	}
	t.Run("no such stack", func(t *testing.T) {
		fakePulumi(t, "echo \"error: no stack named 'dev' found\" >&2\nexit 255\n")
		if exists, err := r.refuse(t.Context()); exists || err != nil {
			t.Error(exists, err)
		}
	})
	t.Run("no answer", func(t *testing.T) {
		fakePulumi(t, "echo 'error: no login' >&2\nexit 255\n")
		if _, err := r.refuse(t.Context()); err == nil || !strings.Contains(err.Error(), "error: no login") {
			t.Error(err)
		}
	})
}

// TestCreateLeavesTheCheckoutAsItIs: `stack init` writes a file, and a file of the user's is the base of the settings.
func TestCreateLeavesTheCheckoutAsItIs(t *testing.T) {
	r := newRun(t)
	own := filepath.Join(r.checkout, "Pulumi.dev.yaml")
	fakePulumi(t, `[ "$1 $2" != "stack init" ] || echo salt >>`+own)
	if err := r.create(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(own); !os.IsNotExist(err) {
		t.Errorf("the checkout has %s, %v", own, err)
	}
	if err := os.WriteFile(own, []byte("config:\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.create(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(r.configuration()); err != nil || string(b) != "config:\n" {
		t.Errorf("the settings begin with %q, %v", b, err)
	}
	if b, err := os.ReadFile(own); err != nil || string(b) != "config:\n" {
		t.Errorf("the user's file is %q, %v", b, err)
	}
}

// TestRemoveAllTakesTheLockOfAKilledUpdate: the first destroy is refused.
func TestRemoveAllTakesTheLockOfAKilledUpdate(t *testing.T) {
	r := newRun(t)
	r.aws = account(t, "", "")
	calls := fakePulumi(t, `
locked=`+r.work+`/locked
case $1 in
  destroy) if [ ! -e $locked ]; then touch $locked; echo 'error: the stack is currently locked' >&2; exit 255; fi ;;
esac
`)
	if err := (&T{test: r}).removeAll(t.Context()); err != nil {
		t.Error(err)
	}
	if got := calls(); got != "destroy --yes\ncancel --yes\ndestroy --yes\nstack rm\n" {
		t.Error(got)
	}
}
