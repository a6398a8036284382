package sns

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/smithy-go"
)

const topic = "arn:aws:sns:us-east-1:123456789012:t"

// received is a request to a subscriber.
type received struct {
	header http.Header
	body   message
}

// rig is a service with a queue and an HTTP subscriber that answers with status.
type rig struct {
	*Service
	t      *testing.T
	url    string // of the subscriber
	queued []string

	mu     sync.Mutex
	got    []received
	status []int // of the next answers; then 200
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var m message
		if err := json.NewDecoder(req.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, received{req.Header, m})
		if len(r.status) > 0 {
			w.WriteHeader(r.status[0])
			r.status = r.status[1:]
		}
	}))
	t.Cleanup(server.Close)
	r.url = server.URL
	r.Service = New(Options{Mail: filepath.Join(t.TempDir(), "mail"), URL: "http://aws", Factor: 1e6, Log: t.Logf,
		Exists: func(_ context.Context, arn string) error {
			if arn != topic {
				return notFound("Topic")
			}
			return nil
		},
		Queue: func(_ context.Context, queue, text string) error {
			r.queued = append(r.queued, queue+" "+text)
			return nil
		}})
	return r
}

func (r *rig) subscribe(protocol, endpoint string) string {
	r.t.Helper()
	out, err := r.Subscribe(r.t.Context(),
		&sns.SubscribeInput{TopicArn: aws.String(topic), Protocol: &protocol, Endpoint: &endpoint})
	if err != nil {
		r.t.Fatal(err)
	}
	r.Wait()
	return *out.SubscriptionArn
}

func (r *rig) publish(subject, text, structure string) {
	r.t.Helper()
	if _, err := r.Publish(r.t.Context(), &sns.PublishInput{TopicArn: aws.String(topic), Subject: &subject, Message: &text,
		MessageStructure: &structure}); err != nil {
		r.t.Fatal(err)
	}
	r.Wait()
}

// newest returns the newest request to the subscriber, and the number of all.
func (r *rig) newest() (received, int) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.got) == 0 {
		return received{}, 0
	}
	return r.got[len(r.got)-1], len(r.got)
}

// TestHTTP: an endpoint receives nothing but the request to confirm until it has used the token.
func TestHTTP(t *testing.T) {
	r := newRig(t)
	if arn := r.subscribe("http", r.url); arn != "pending confirmation" {
		t.Errorf("the ARN is %s", arn)
	}
	ask, n := r.newest()
	link, err := url.Parse(ask.body.SubscribeURL)
	if err != nil || n != 1 || ask.header.Get("x-amz-sns-message-type") != "SubscriptionConfirmation" ||
		ask.header.Get("x-amz-sns-topic-arn") != topic || ask.body.Type != "SubscriptionConfirmation" ||
		link.Query().Get("Action") != "ConfirmSubscription" || link.Query().Get("Token") != ask.body.Token ||
		link.Query().Get("TopicArn") != topic || !strings.HasPrefix(ask.body.SubscribeURL, "http://aws/?") {
		t.Fatalf("%d requests: %+v, %v", n, ask, err)
	}
	r.publish("s", "too early", "")
	confirm := func(token string) error {
		_, err := r.ConfirmSubscription(t.Context(),
			&sns.ConfirmSubscriptionInput{TopicArn: aws.String(topic), Token: &token})
		return err
	}
	if _, n := r.newest(); n != 1 || confirm("wrong") == nil ||
		*r.list(topic)[0].SubscriptionArn != pending {
		t.Errorf("%d requests before the confirmation, subscriptions: %+v", n, r.list(topic))
	}
	if err := confirm(ask.body.Token); err != nil {
		t.Fatal(err)
	}
	r.publish(`ALARM: "a" in R`, "text", "")
	told, n := r.newest()
	arn := *r.list("")[0].SubscriptionArn
	if n != 2 || told.header.Get("x-amz-sns-message-type") != "Notification" || told.body.Message != "text" ||
		told.body.Subject != `ALARM: "a" in R` || told.header.Get("x-amz-sns-message-id") != told.body.MessageID ||
		told.header.Get("x-amz-sns-subscription-arn") != arn ||
		told.header.Get("Content-Type") != "text/plain; charset=UTF-8" || !strings.HasPrefix(arn, topic+":") {
		t.Errorf("%d requests: %+v", n, told)
	}
	out, err := r.GetSubscriptionAttributes(t.Context(), &sns.GetSubscriptionAttributesInput{SubscriptionArn: &arn})
	if err != nil || out.Attributes["PendingConfirmation"] != "false" || out.Attributes["Owner"] != "123456789012" {
		t.Errorf("%v, %v", out, err)
	}
	if _, err := r.Unsubscribe(t.Context(), &sns.UnsubscribeInput{SubscriptionArn: &arn}); err != nil {
		t.Fatal(err)
	}
	r.publish("s", "too late", "")
	if _, n := r.newest(); n != 2 || len(r.list("")) != 0 {
		t.Errorf("%d requests after the end of the subscription", n)
	}
}

// TestRetries: a message is lost after four attempts, or after one that the subscriber refuses.
func TestRetries(t *testing.T) {
	r := newRig(t)
	r.status = []int{500, 503, 429, 200}
	r.subscribe("http", r.url)
	ask, n := r.newest()
	if n != 4 {
		t.Errorf("%d attempts", n)
	}
	if _, err := r.ConfirmSubscription(t.Context(),
		&sns.ConfirmSubscriptionInput{TopicArn: aws.String(topic), Token: &ask.body.Token}); err != nil {
		t.Fatal(err)
	}
	r.status = []int{500, 500, 500, 500, 500}
	r.publish("s", "m", "")
	if _, n := r.newest(); n != 8 {
		t.Errorf("%d attempts", n-4)
	}
	r.status = []int{403}
	r.publish("s", "m", "")
	if _, n := r.newest(); n != 9 {
		t.Errorf("%d attempts after a refusal", n-8)
	}
}

// TestMail: mails can be read by programs for mail, in the order in which they came.
func TestMail(t *testing.T) {
	r := newRig(t)
	r.subscribe("email", "a@example.com")
	r.publish(`ALARM: "ä" in US East (N. Virginia)`, `{"default":"no","email":"yes\nFrom here"}`, "json")
	r.publish("", "plain", "")
	text, err := os.ReadFile(r.Mail)
	if err != nil {
		t.Fatal(err)
	}
	mails := strings.Split("\n"+string(text), "\nFrom ")[1:]
	if len(mails) != 3 {
		t.Fatalf("%d mails:\n%s", len(mails), text)
	}
	for i, want := range []struct{ subject, begins string }{
		{"AWS Notification - Subscription Confirmation", "You have chosen to subscribe to the topic:\n" + topic},
		{`=?utf-8?q?ALARM:_"=C3=A4"_in_US_East_(N._Virginia)?=`, "yes\n>From here\n\n--\n"},
		{"AWS Notification Message", "plain\n"},
	} {
		_, rest, _ := strings.Cut(mails[i], "\n")
		m, err := mail.ReadMessage(bufio.NewReader(strings.NewReader(rest)))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(m.Body)
		if err != nil || m.Header.Get("To") != "a@example.com" || m.Header.Get("Subject") != want.subject ||
			!strings.HasPrefix(string(body), want.begins) {
			t.Errorf("mail %d: %v\n%s", i, err, mails[i])
		}
		if date, err := m.Header.Date(); err != nil || date.IsZero() {
			t.Error(err)
		}
	}
}

// TestQueue: a queue needs no confirmation and receives the envelope with the text for it, or the default one.
func TestQueue(t *testing.T) {
	r := newRig(t)
	const queue = "arn:aws:sqs:us-east-1:123456789012:q"
	if arn := r.subscribe("sqs", queue); !strings.HasPrefix(arn, topic+":") {
		t.Errorf("the ARN is %s", arn)
	}
	r.subscribe("sqs", queue) // the same one
	r.publish("s", `{"default":"d","email":"e"}`, "json")
	if len(r.queued) != 1 || !strings.HasPrefix(r.queued[0], queue+" {") ||
		!strings.Contains(r.queued[0], `"Message":"d"`) {
		t.Errorf("%q", r.queued)
	}
	r.Deleted(topic)
	if len(r.list("")) != 0 {
		t.Error("the subscriptions of a deleted topic are left")
	}
}

func TestRefusals(t *testing.T) {
	r := newRig(t)
	in := func(topic, protocol, endpoint string, attributes map[string]string) error {
		_, err := r.Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: &topic, Protocol: &protocol, Endpoint: &endpoint,
			Attributes: attributes})
		return err
	}
	publish := func(topic, subject, text, structure string) error {
		_, err := r.Publish(t.Context(), &sns.PublishInput{TopicArn: &topic, Subject: &subject, Message: &text,
			MessageStructure: &structure})
		return err
	}
	for code, errs := range map[string][]error{
		"NotFound": {in("arn:other", "email", "a@example.com", nil), publish("arn:other", "", "m", "")},
		"InvalidParameter": {in(topic, "sms", "+1", nil), in(topic, "https", "http://host", nil),
			in(topic, "email", "a@example.com", map[string]string{"FilterPolicy": "{}"}),
			publish(topic, strings.Repeat("s", 101), "m", ""), publish(topic, "", `{"email":"m"}`, "json"),
			publish(topic, "", "m", "json")},
	} {
		for i, err := range errs {
			if api := smithy.APIError(nil); !errors.As(err, &api) || api.ErrorCode() != code {
				t.Errorf("%s %d: %v", code, i, err)
			}
		}
	}
}
