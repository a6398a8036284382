package main

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

// TestOverlapping: two instances are replaced, new before old; a launch that was cancelled does not count.
func TestOverlapping(t *testing.T) {
	at := func(seconds int) *time.Time { return aws.Time(time.Unix(int64(seconds), 0)) }
	activity := func(what string, from, to int, status types.ScalingActivityStatusCode) types.Activity {
		return types.Activity{Description: aws.String(what + " EC2 instance: i"), StartTime: at(from), EndTime: at(to),
			StatusCode: status}
	}
	const ok = types.ScalingActivityStatusCodeSuccessful
	all := []types.Activity{
		activity("Launching a new", 0, 10, ok), activity("Launching a new", 0, 11, ok),
		activity("Launching a new", 12, 14, types.ScalingActivityStatusCodeCancelled),
		activity("Launching a new", 20, 30, ok), activity("Terminating", 31, 40, ok),
		activity("Launching a new", 41, 50, ok), activity("Terminating", 51, 60, ok),
	}
	if n := overlapping(all); n != 3 {
		t.Errorf("at most %d instances, want 3", n)
	}
}

// TestAnswersOfARehearsal: nothing is asked where nothing could be learned.
func TestAnswersOfARehearsal(t *testing.T) {
	of := &test{}
	of.answer(t.Context())
	all := of.answered
	if len(all) != len(questions) {
		t.Fatal(all)
	}
	for _, a := range all {
		if a[1] != "only on AWS" {
			t.Errorf("%s: %s", a[0], a[1])
		}
	}
}
