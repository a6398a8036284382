package sns

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// message holds the JSON that a subscriber receives: "HTTP/HTTPS notification JSON format" and "subscription
// confirmation JSON format" of the SNS documentation.
type message struct {
	Type             string // Notification or SubscriptionConfirmation
	MessageID        string `json:"MessageId"`
	Token            string `json:",omitempty"`
	TopicArn         string
	Subject          string `json:",omitempty"`
	Message          string
	SubscribeURL     string `json:",omitempty"`
	Timestamp        time.Time
	SignatureVersion string
	Signature        string
	SigningCertURL   string
	UnsubscribeURL   string `json:",omitempty"`
}

// confirmation returns the message that asks for the confirmation of a subscription.
func (s *Service) confirmation(sub *subscription) message {
	return message{Type: "SubscriptionConfirmation", MessageID: id(), Token: sub.token, TopicArn: sub.topic,
		Timestamp: time.Now().UTC(), SubscribeURL: s.link(url.Values{"Action": {"ConfirmSubscription"},
			"TopicArn": {sub.topic}, "Token": {sub.token}}),
		Message: "You have chosen to subscribe to the topic " + sub.topic + ".\nTo confirm the subscription, visit the " +
			"SubscribeURL included in this message."}
}

// link returns a link that calls an operation: AWS's messages have such links, too.
func (s *Service) link(parameters url.Values) string { return s.URL + "/?" + parameters.Encode() }

// Attempts to deliver over HTTP after the first one: the default delivery policy has "numRetries": 3 and
// "minDelayTarget": 20 with "maxDelayTarget": 20.
const (
	retries    = 3
	retryDelay = 20 * time.Second
)

// deliver sends a message to a subscriber without waiting for it.
func (s *Service) deliver(sub *subscription, m message) {
	s.all.Go(func() {
		var err error
		switch sub.protocol {
		case "sqs":
			err = s.Queue(context.Background(), sub.endpoint, m.envelope())
		case "email":
			err = s.appendMail(sub, m)
		default:
			for n := 0; ; n++ {
				var retry bool
				if retry, err = post(sub, m); !retry || n == retries {
					break
				}
				time.Sleep(retryDelay / time.Duration(s.Factor))
			}
		}
		if err != nil {
			s.Log("SNS: %s to %s is lost: %v", m.Type, sub.endpoint, err)
		}
	})
}

// envelope returns the message as JSON. Its signature does not verify: the members only have the right form.
func (m message) envelope() string {
	m.SignatureVersion, m.Signature = "1", "RVhBTVBMRQ=="
	m.SigningCertURL = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0000000000000000000000.pem"
	text, _ := json.Marshal(m) // texts and a time can be encoded
	return string(text)
}

// postTimeout is the time within which an endpoint has to answer.
const postTimeout = 15 * time.Second

// post sends a message over HTTP, with the headers of "HTTP/HTTPS header fields", and reports whether a failure is
// temporary: "Amazon SNS considers all 5XX errors and 429 (too many requests sent) errors as retryable."
func post(sub *subscription, m message) (retry bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), postTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, sub.endpoint, strings.NewReader(m.envelope()))
	if err != nil {
		return false, err
	}
	r.Header.Set("Content-Type", "text/plain; charset=UTF-8")
	r.Header.Set("User-Agent", "Amazon Simple Notification Service Agent")
	r.Header.Set("X-Amz-Sns-Message-Type", m.Type)
	r.Header.Set("X-Amz-Sns-Message-Id", m.MessageID)
	r.Header.Set("X-Amz-Sns-Topic-Arn", m.TopicArn)
	if m.Type == "Notification" { // a subscription that is not confirmed has no ARN
		r.Header.Set("X-Amz-Sns-Subscription-Arn", sub.arn)
	}
	out, err := http.DefaultClient.Do(r)
	if err != nil {
		return true, err
	}
	defer out.Body.Close()
	_, _ = io.Copy(io.Discard, out.Body) // of an answer only the status counts
	if out.StatusCode >= 300 {
		return out.StatusCode >= 500 || out.StatusCode == http.StatusTooManyRequests,
			fmt.Errorf("the answer is %s", out.Status)
	}
	return false, nil
}

// appendMail appends a mail to the file.
func (s *Service) appendMail(sub *subscription, m message) error {
	subject := cmp.Or(m.Subject, "AWS Notification Message")
	text := m.Message + "\n\n--\nIf you wish to stop receiving notifications from this topic, please click or visit the " +
		"link below to unsubscribe:\n" + m.UnsubscribeURL + "\n"
	if m.Type == "SubscriptionConfirmation" {
		subject = "AWS Notification - Subscription Confirmation"
		text = "You have chosen to subscribe to the topic:\n" + m.TopicArn + "\n\nTo confirm this subscription, click or " +
			"visit the link below (If this was in error no action is necessary):\n" + m.SubscribeURL + "\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "From no-reply@sns.amazonaws.com %s\n", m.Timestamp.Format(time.ANSIC))
	for _, header := range [][2]string{{"Date", m.Timestamp.Format(time.RFC1123Z)},
		{"From", "AWS Notifications <no-reply@sns.amazonaws.com>"}, {"To", sub.endpoint},
		{"Message-ID", "<" + m.MessageID + "@sns.amazonaws.com>"}, {"Subject", mime.QEncoding.Encode("utf-8", subject)},
		{"MIME-Version", "1.0"}, {"Content-Type", "text/plain; charset=UTF-8"}, {"Content-Transfer-Encoding", "8bit"}} {
		fmt.Fprintf(&b, "%s: %s\n", header[0], header[1])
	}
	b.WriteString("\n")
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "From ") { // it would begin another message
			line = ">" + line
		}
		b.WriteString(line)
	}
	s.mail.Lock()
	defer s.mail.Unlock()
	f, err := os.OpenFile(s.Mail, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(b.String() + "\n"); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
