package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"imagery/app/admin/fsck"
	"imagery/app/deploy/iam"
	"imagery/app/imagery"
	"imagery/app/testing/fakeaws"
)

// aws is the emulated AWS of one test.
type aws struct {
	*fakeaws.Cloud
	fakeaws.Stack
}

// newAWS starts emulators with the visibility timeout and maximum receives of the local defaults, so that tests of both
// backends take equally long.
func newAWS(t testing.TB) aws {
	t.Helper()
	c, s := fakeaws.Start(t, imagery.Limits{Visibility: 10 * time.Second, MaxReceives: 5})
	return aws{c, s}
}

// args returns the flags that select the stack.
func (a aws) args(more ...string) []string {
	return append(a.Flags(), more...)
}

// role starts one process of a role with credentials of its own.
func (a aws) role(t testing.TB, role string, more ...string) *program {
	t.Helper()
	return start(t, t.TempDir(), a.Env(role), a.args(append([]string{"-role", role}, more...)...)...)
}

// snapshot reads all stored data.
func (a aws) snapshot(t *testing.T) fsck.Snapshot {
	t.Helper()
	s, err := fsck.AWS(context.WithoutCancel(t.Context()), a.DynamoDB(), a.S3(), a.Table, a.Bucket, true)
	if err != nil {
		t.Fatal(err)
	}
	for i, url := range []string{a.QueueURL, a.DLQURL} {
		for _, m := range a.Queues.Messages(url) {
			s.Messages = append(s.Messages, fsck.Message{Body: []byte(m.Body), Dead: i == 1})
		}
	}
	s.NoMessages = false
	return s
}

// checkInvariants checks the stored state.
func (a aws) checkInvariants(t *testing.T) {
	t.Helper()
	reportFindings(t, a.snapshot(t))
}

// TestKillEverythingOnAWS does the same on AWS, where only the processes of the service are killed.
func TestKillEverythingOnAWS(t *testing.T) {
	t.Parallel()
	a := newAWS(t)
	killEverything(t, t.TempDir(), a.Env("fleet"), a.args("-resend-after", "15s"), func() { a.checkInvariants(t) })
}

// TestOriginalApplicationsRequests sends the requests of the original application's web page: create, upload with a
// redirect, and poll until the image is final.
func TestOriginalApplicationsRequests(t *testing.T) {
	t.Parallel()
	a := newAWS(t)
	server := a.role(t, "server")
	a.role(t, "worker")
	c := newClient(t, server.url)
	id := c.create(t.Context())
	location := c.browserUpload(t.Context(), id, encodeJPEG(t, scene(1, 60, 40)))
	if want := "/#view=" + id; location != want {
		t.Errorf("after the upload the browser is sent to %q, want %q", location, want)
	}
	v, err := c.final(t.Context(), id)
	if err != nil || v.State != "processed" || v.Version != 2 {
		t.Fatalf("image: %+v, %v", v, err)
	}
	if v.ProcessedImage != "/image/"+id+"/processed" || !strings.HasPrefix(v.RawKey, "upload/"+id+"/") ||
		!strings.HasPrefix(v.ProcessedKey, "processed/"+id+"/") {
		t.Errorf("image: %+v", v)
	}
	c.compare(t.Context(), acceptedUpload{id, photo{"jpeg", encodeJPEG(t, scene(1, 60, 40)), "processed"}}, v)
	a.checkInvariants(t)
}

// TestIAMActionsMatchTheCalls compares the calls of each role with the IAM actions it has, in both directions: no call
// is denied, and no action is unused.
func TestIAMActionsMatchTheCalls(t *testing.T) {
	t.Parallel()
	a := newAWS(t)
	server := a.role(t, "server")
	worker := a.role(t, "worker", "-resend-after", "1s")
	c := newClient(t, server.url)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for _, p := range []*program{server, worker} {
		c.ready(ctx, p)
	}
	// The hint of the photo is lost, so that the reconciler sends it again.
	a.Proxy.Inject(func(call fakeaws.Call) fakeaws.Fault {
		if call.Operation == "SendMessage" && call.Caller == "server" {
			return fakeaws.Fault{Kind: fakeaws.ServerError}
		}
		return fakeaws.Fault{}
	})
	id := imagery.NewID()
	if err := c.upload(ctx, id, photo{name: "jpeg", body: encodeJPEG(t, scene(1, 60, 40))}); err != nil {
		t.Fatal(err)
	}
	v, err := c.final(ctx, id)
	if err != nil || v.State != "processed" {
		t.Fatalf("image: %+v, %v", v, err)
	}
	if _, err := c.download(ctx, v); err != nil {
		t.Fatal(err)
	}
	// A malformed message is postponed, and a dead letter is received and released.
	a.send(t, a.QueueURL, "not a hint")
	a.send(t, a.DLQURL, "not a hint either")
	for role, allowed := range map[string][]iam.Action{"server": iam.Server, "worker": iam.Worker} {
		var problems []string
		for {
			var seen []fakeaws.Call
			for _, call := range a.Proxy.Calls() {
				// A presigned link carries the signature of the server, also when a client follows it.
				if call.Caller == role {
					seen = append(seen, call)
				}
			}
			if problems = a.Compare(allowed, seen); len(problems) == 0 || ctx.Err() != nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		for _, p := range problems {
			t.Errorf("%s: %s", role, p)
		}
	}
}

// send sends a message directly to a queue.
func (a aws) send(t *testing.T, queue, body string) {
	t.Helper()
	if _, err := a.SQS().SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &queue,
		MessageBody: &body}); err != nil {
		t.Fatal(err)
	}
}

// TestSelftest runs the selftest command on a complete stack, where it must succeed, leave nothing behind and use
// exactly its IAM actions, and then without each of these actions. A worker must delete its message.
func TestSelftest(t *testing.T) {
	t.Parallel()
	a := newAWS(t)
	selftest := func(flags ...string) ([]byte, error) {
		cmd := exec.Command(exe, append([]string{"selftest"}, flags...)...)
		cmd.Env = append(os.Environ(), a.Env("selftest")...)
		return cmd.CombinedOutput()
	}
	if out, err := selftest(a.args()...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// Its role may read the queue's attributes anyway.
	allowed := append(slices.Clone(iam.Selftest), iam.Action{Service: "sqs", Operation: "GetQueueAttributes",
		Resource: iam.Queue})
	var seen []fakeaws.Call
	for _, call := range a.Proxy.Calls() {
		if call.Caller == "selftest" {
			seen = append(seen, call)
		}
	}
	for _, p := range a.Compare(allowed, seen) {
		t.Error(p)
	}
	a.role(t, "worker")
	deadline := time.Now().Add(2 * time.Minute)
	for ; len(a.Queues.Messages(a.QueueURL)) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no worker acknowledged the message of the selftest")
		}
	}
	if s := a.snapshot(t); len(s.Items)+len(s.Objects)+len(s.Messages) > 0 {
		t.Errorf("the selftest left %+v", s)
	}
	for _, missing := range allowed {
		a.Proxy.Inject(func(call fakeaws.Call) fakeaws.Fault {
			if call.Caller == "selftest" && call.Operation == missing.Operation {
				return fakeaws.Fault{Kind: fakeaws.Denied}
			}
			return fakeaws.Fault{}
		})
		out, err := selftest(a.args()...)
		if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("without %s: %v\n%s", missing.Name(), err, out)
		}
	}
}
