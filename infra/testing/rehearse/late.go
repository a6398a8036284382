package main

import (
	"context"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// lateness delays the policies of roles: "changes that you make in IAM ... might not be immediately visible", says the
// IAM user guide ("Changes that I make are not always immediately visible").
type lateness struct {
	delay time.Duration
	now   func() time.Time

	mu       sync.Mutex
	versions map[string][]policyVersion // by role and policy, in the order of time
}

// policyVersion is the text of a policy that was attached at a time.
type policyVersion struct {
	text string
	at   time.Time
}

// attach notes that a role gets a policy.
func (l *lateness) attach(role, policy, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.versions == nil {
		l.versions = map[string][]policyVersion{}
	}
	key := role + "/" + policy
	l.versions[key] = append(l.versions[key], policyVersion{text, l.now()})
}

// effective returns the text of an attached policy that counts now: the latest that is older than the delay. There may
// be none. A policy that was attached before the rehearsal counts as it is.
func (l *lateness) effective(role, policy, attached string) (text string, counts bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	versions := l.versions[role+"/"+policy]
	if l.delay == 0 || len(versions) == 0 {
		return attached, true
	}
	for _, v := range versions {
		if l.now().Sub(v.at) >= l.delay {
			text, counts = v.text, true
		}
	}
	return text, counts
}

// attachPolicy notes when a role gets a policy.
func (f *front) attachPolicy(_ context.Context, in *iam.PutRolePolicyInput) error {
	f.rights.late.attach(aws.ToString(in.RoleName), aws.ToString(in.PolicyName), aws.ToString(in.PolicyDocument))
	return nil
}
