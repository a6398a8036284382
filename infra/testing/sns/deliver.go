package sns

import (
	"bytes"
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

// message is what a subscriber receives, with the members of "HTTP/HTTPS notification JSON format" and "subscription
// confirmation JSON format".
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

// link returns a link that calls an operation: "Make sure your endpoint can handle an HTTP GET to SubscribeURL".
func (s *Service) link(action string, parameters ...string) string {
	q := url.Values{"Action": {action}}
	for n := 0; n < len(parameters); n += 2 {
		q.Set(parameters[n], parameters[n+1])
	}
	return s.URL + "/?" + q.Encode()
}

// confirmation returns the message that asks for the confirmation of a subscription.
func (s *Service) confirmation(sub *subscription) message {
	return message{Type: "SubscriptionConfirmation", MessageID: id(), Token: sub.token, TopicArn: sub.topic,
		Timestamp: time.Now().UTC(), Subject: "AWS Notification - Subscription Confirmation",
		SubscribeURL: s.link("ConfirmSubscription", "TopicArn", sub.topic, "Token", sub.token),
		Message: "You have chosen to subscribe to the topic " + sub.topic + ".\nTo confirm the subscription, visit the " +
			"SubscribeURL included in this message."}
}

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
			err = s.Queue(context.Background(), sub.endpoint, m.json())
		case "email":
			err = s.append(sub, m)
		default:
			for n := 0; ; n++ {
				if err = post(sub, m); err == nil || n == retries {
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

// json returns the message in its envelope. The signature is none: its members only have the right form.
func (m message) json() string {
	m.SignatureVersion, m.Signature = "1", "RVhBTVBMRQ=="
	m.SigningCertURL = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0000000000000000000000.pem"
	if m.Type == "SubscriptionConfirmation" {
		m.Subject = "" // only mails have one
	}
	text, _ := json.Marshal(m) // texts and a time can be encoded
	return string(text)
}

// postTimeout is the time within which an endpoint has to answer.
const postTimeout = 15 * time.Second

// post sends a message over HTTP, with the headers of "HTTP/HTTPS header fields".
func post(sub *subscription, m message) error {
	ctx, cancel := context.WithTimeout(context.Background(), postTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, sub.endpoint, bytes.NewReader([]byte(m.json())))
	if err != nil {
		return err
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
		return err
	}
	defer out.Body.Close()
	_, _ = io.Copy(io.Discard, out.Body) // of an answer only the status counts
	if out.StatusCode >= 300 {
		return fmt.Errorf("the answer is %s", out.Status)
	}
	return nil
}

// append appends a mail to the file.
func (s *Service) append(sub *subscription, m message) error {
	text := m.Message + "\n\n--\nIf you wish to stop receiving notifications from this topic, please click or visit the " +
		"link below to unsubscribe:\n" + m.UnsubscribeURL + "\n"
	if m.Type == "SubscriptionConfirmation" {
		text = "You have chosen to subscribe to the topic:\n" + m.TopicArn + "\n\nTo confirm this subscription, click or " +
			"visit the link below (If this was in error no action is necessary):\n" + m.SubscribeURL + "\n"
	}
	subject := m.Subject
	if subject == "" {
		subject = "AWS Notification Message"
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
