package data

import (
	"time"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/sqs"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/app/deploy/settings"
	"imagery/infra/must"
)

// A message keeps the age of its first send when it becomes a dead letter, so the dead-letter queue must keep
// longer than the queue, or it would drop at once what waited long.
const (
	QueueDays      = 4
	DeadLetterDays = 14 // the longest that SQS keeps anything
)

const day = 24 * time.Hour

// longPoll is the longest wait of a receive; workers ask for it themselves, other clients get it from here.
const longPoll = 20 * time.Second

// Messaging is the queue of hints and its dead-letter queue.
type Messaging struct {
	pulumi.ResourceState

	Queue, DeadLetters *sqs.Queue
}

// NewMessaging creates both queues; only the one may feed the other. Protect refuses to delete them.
func NewMessaging(ctx *pulumi.Context, name string, protect bool, opts ...pulumi.ResourceOption) *Messaging {
	m := &Messaging{}
	must.OK(ctx.RegisterComponentResource("imagery:infra:Messaging", name, m, opts...))
	// Encrypted by SQS itself: a key of KMS would cost per call, and every sender would need permission to use it.
	m.DeadLetters = must.Get(sqs.NewQueue(ctx, name+"-dead-letters", &sqs.QueueArgs{
		MessageRetentionSeconds: seconds(DeadLetterDays * day),
		SqsManagedSseEnabled:    pulumi.Bool(true),
	}, pulumi.Parent(m), pulumi.Protect(protect)))
	m.Queue = must.Get(sqs.NewQueue(ctx, name+"-queue", &sqs.QueueArgs{
		VisibilityTimeoutSeconds: seconds(settings.QueueVisibility),
		MessageRetentionSeconds:  seconds(QueueDays * day),
		ReceiveWaitTimeSeconds:   seconds(longPoll),
		SqsManagedSseEnabled:     pulumi.Bool(true),
		// The provider waits until AWS gives back exactly what was set, so the count must be a number.
		RedrivePolicy: pulumi.Sprintf(`{"deadLetterTargetArn":"%s","maxReceiveCount":%d}`, m.DeadLetters.Arn,
			settings.QueueMaxReceives),
	}, pulumi.Parent(m), pulumi.Protect(protect)))
	// A resource of its own: inside the queue's arguments the two queues would wait for each other.
	must.Get(sqs.NewRedriveAllowPolicy(ctx, name+"-redrive", &sqs.RedriveAllowPolicyArgs{
		QueueUrl:           m.DeadLetters.Url,
		RedriveAllowPolicy: pulumi.Sprintf(`{"redrivePermission":"byQueue","sourceQueueArns":["%s"]}`, m.Queue.Arn),
	}, pulumi.Parent(m)))
	must.OK(ctx.RegisterResourceOutputs(m, pulumi.Map{"queueUrl": m.Queue.Url}))
	return m
}

func seconds(d time.Duration) pulumi.Int { return pulumi.Int(int(d / time.Second)) }
