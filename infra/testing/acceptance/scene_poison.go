package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"imagery/infra/policy"
)

// deadLetters is the alarm's name in the runbook.
const deadLetters = "dead-letters"

// noHint is a message that no worker understands. `imagery dlq ls` calls it malformed.
const noHint, malformed = "this is no hint", "malformed"

// poison makes a photo and a message that is no hint dead letters, waits for the alarm and its message, and sends the
// photo back as the runbook says.
//
// The bucket's policy hides the photo from workers, and the queue gives up after the first delivery: with its usual
// limit, the deliveries last as long as the outage that they must outlive, more than ten minutes.
func poison(ctx context.Context, t *T) (err error) {
	box, err := t.subscribe(ctx)
	defer putBack(ctx, &err, "the subscription of the topic", box.close)
	if err != nil {
		return err
	}
	begun := time.Now()
	id, err := t.bury(ctx, box)
	if err != nil {
		return err
	}
	t.figure("photo and malformed message were dead letters after %.0f s", time.Since(begun).Seconds())
	alarm, err := t.reached(ctx, box, deadLetters, types.StateValueAlarm)
	if err != nil {
		return err
	}
	t.figure("the alarm rang, and its message had arrived, %.0f s after the upload", time.Since(begun).Seconds())
	if err := t.mailed(ctx, alarm, types.StateValueAlarm); err != nil {
		return err
	}
	if err := t.failedPhoto(ctx, id); err != nil {
		return err
	}
	back := time.Now()
	if err := t.redrive(ctx, id); err != nil {
		return err
	}
	if err := t.until(ctx, "the photo is processed", 10*time.Minute, func(ctx context.Context) (bool, error) {
		img, err := t.service.Get(ctx, id)
		return img.State == "processed", err
	}); err != nil {
		return err
	}
	t.accepted(id, t.pictures.steady)
	t.figure("the photo was processed %.1f s after the redrive began", time.Since(back).Seconds())
	if err := t.redrive(ctx, "drop", "--drop-malformed"); err != nil {
		return err
	}
	if _, err := t.reached(ctx, box, deadLetters, types.StateValueOk); err != nil {
		return err
	}
	t.figure("the alarm was OK %.0f s after the redrive began", time.Since(back).Seconds())
	return t.unharmed()
}

// hiddenIDs is the beginning of the ids of photos that workers cannot read.
const hiddenIDs = "acce97ed-dead-"

// bury uploads a photo that workers cannot read, sends a message that is no hint, and waits until both are dead
// letters. Then bucket and queue are again as they were. It returns the id of the photo.
func (t *T) bury(ctx context.Context, box *inbox) (id string, err error) {
	bucket, name := s3Of(t.aws), t.current.ImagesBucket
	was, err := bucket.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: &name})
	if err != nil {
		return "", fmt.Errorf("read the policy of bucket %s: %w", name, err)
	}
	hidden, err := hide(aws.ToString(was.Policy), "arn:"+t.partition()+":s3:::"+name+"/upload/"+hiddenIDs+"*")
	if err != nil {
		return "", fmt.Errorf("change the policy of bucket %s: %w", name, err)
	}
	const redrive = sqstypes.QueueAttributeNameRedrivePolicy
	usual, err := box.attribute(ctx, t.current.QueueURL, redrive)
	if err != nil {
		return "", err
	}
	once, err := deliverOnce(usual)
	if err != nil {
		return "", fmt.Errorf("change the redrive policy of queue %s: %w", t.current.QueueURL, err)
	}
	put := func(ctx context.Context, text string) error {
		_, err := bucket.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: &name, Policy: &text})
		return err
	}
	defer putBack(ctx, &err, "the policy of bucket "+name, func(ctx context.Context) error {
		return put(ctx, aws.ToString(was.Policy))
	})
	if err := put(ctx, hidden); err != nil {
		return "", fmt.Errorf("hide photos from workers: %w", err)
	}
	defer putBack(ctx, &err, "the redrive policy of the queue", func(ctx context.Context) error {
		return box.set(ctx, t.current.QueueURL, redrive, usual)
	})
	if err := box.set(ctx, t.current.QueueURL, redrive, once); err != nil {
		return "", err
	}
	if _, err := box.queues.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &t.current.QueueURL,
		MessageBody: aws.String(noHint)}); err != nil {
		return "", fmt.Errorf("send a message that is no hint: %w", err)
	}
	err = t.until(ctx, "imagery dlq ls lists both", 15*time.Minute, func(ctx context.Context) (bool, error) {
		if id != "" {
			img, err := t.service.Get(ctx, id)
			if err != nil {
				return false, err
			}
			if img.State == "processed" { // before the policy of the bucket took effect
				t.accepted(id, t.pictures.steady)
				id = ""
			}
		}
		if id == "" {
			id = hiddenIDs + newID()[len(hiddenIDs):]
			if _, err := t.service.Create(ctx, id); err != nil {
				return false, err
			}
			if _, err := t.service.Upload(ctx, id, t.pictures.steady.name, t.pictures.steady.data); err != nil {
				return false, err
			}
		}
		n, err := box.attribute(ctx, t.current.DLQURL, sqstypes.QueueAttributeNameApproximateNumberOfMessages)
		if err != nil || n == "0" || n == "1" {
			return false, err
		}
		list, err := t.imagery(ctx, "dlq", "ls")
		return strings.Contains(list, id) && strings.Contains(list, malformed), err
	})
	return id, err
}

// partition returns the partition of the stack's ARNs, such as aws.
func (t *test) partition() string { return strings.Split(t.current.AlarmTopic+":aws", ":")[1] }

// hide adds a statement to a bucket's policy that forbids everyone to read objects.
func hide(text, objects string) (string, error) {
	var p struct {
		Version   string
		Statement []any
	}
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return "", err
	}
	p.Statement = append(p.Statement, policy.Statement{Sid: "Acceptance", Effect: policy.Deny, Principal: "*",
		Action: []string{"s3:GetObject"}, Resource: []string{objects}})
	out, err := json.Marshal(p)
	return string(out), err
}

// deliverOnce changes a redrive policy so that a message becomes a dead letter after one delivery.
func deliverOnce(text string) (string, error) {
	p := map[string]any{}
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return "", err
	}
	if p["deadLetterTargetArn"] == nil {
		return "", fmt.Errorf("it names no dead-letter queue: %s", text)
	}
	p["maxReceiveCount"] = 1
	out, err := json.Marshal(p)
	return string(out), err
}

// failedPhoto waits until a photo says why it failed: a worker that does not know that its delivery was the last one
// leaves this to the reconciler.
func (t *T) failedPhoto(ctx context.Context, id string) error {
	return t.until(ctx, "the photo says why it failed", 5*time.Minute, func(ctx context.Context) (bool, error) {
		img, err := t.service.Get(ctx, id)
		if err != nil || img.State != "failed" || img.Error == "" {
			return false, err
		}
		t.figure("what its user reads: %s", img.Error)
		return true, nil
	})
}

// mailed checks the mail about an alarm, if the side keeps mails.
func (t *T) mailed(ctx context.Context, alarm string, state types.StateValue) error {
	if t.side.mail == "" {
		to, err := t.setting(ctx, "imagery:alarmEmail")
		if to != "" {
			t.figure("a mail about it went to %s; check the inbox", to)
		}
		return err
	}
	subject := fmt.Sprintf("Subject: %s: %q", state, alarm)
	err := t.until(ctx, "the mail", time.Minute, func(context.Context) (bool, error) {
		text, err := os.ReadFile(t.side.mail)
		return strings.Contains(string(text), subject), err
	})
	if err == nil {
		t.figure("a mail about it arrived")
	}
	return err
}

// redrive runs `imagery dlq redrive` until it prints a text. While the reconciler reads the dead letters, which takes
// seconds on a slow computer, the command finds none.
func (t *T) redrive(ctx context.Context, want string, flags ...string) error {
	what := strings.Join(append([]string{"imagery dlq redrive"}, flags...), " ") + " says " + want
	return t.until(ctx, what, 2*time.Minute, func(ctx context.Context) (bool, error) {
		text, err := t.imagery(ctx, append([]string{"dlq", "redrive"}, flags...)...)
		return strings.Contains(text, want), err
	})
}

// imagery runs a command of the binary on the stack.
func (t *test) imagery(ctx context.Context, args ...string) (string, error) {
	return t.run(ctx, "imagery", append(args, "--stack", t.stack)...)
}
