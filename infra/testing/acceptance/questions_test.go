package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"imagery/app/testing/short"
	"imagery/infra/testing/asgsim"
)

// TestPoweredOff: a worker is replaced, the new one is stopped while it boots, and the one after it is noticed.
func TestPoweredOff(t *testing.T) {
	short.Skip(t, "machines boot for some seconds")
	machines := &asgsim.Memory{Script: func(asgsim.Machine) asgsim.Script {
		return asgsim.Script{Boot: time.Minute, Answer: asgsim.Continue}
	}}
	machines.Simulator = asgsim.New(asgsim.Options{Driver: machines, Factor: 20})
	defer machines.Simulator.Close()
	machines.Simulator.Create(asgsim.Group{Name: "workers", Min: 1, Max: 2, Desired: 1, Template: "lt", Version: "1",
		Zones: []string{"a"}, Hooks: []asgsim.Hook{{Name: "launch", Transition: asgsim.Launching,
			DefaultResult: asgsim.Abandon, Timeout: 10 * time.Minute}}})
	groups, stopped := machines.Simulator.Handler(), ""
	at := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Authorization"), "/ec2/") {
			_ = r.ParseForm()
			stopped = r.Form.Get("InstanceId.1")
			machines.Stop(stopped)
			fmt.Fprint(w, "<Response/>")
			return
		}
		groups.ServeHTTP(w, r)
	}))
	defer at.Close()
	of := &test{out: t.Output(), begun: time.Now(), side: side{factor: 1}, current: outputs{WorkerGroup: "workers"},
		aws: aws.Config{Region: "us-east-1", BaseEndpoint: &at.URL,
			Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}}
	answer, err := poweredOff(t.Context(), of)
	if err != nil || stopped == "" || !strings.HasPrefix(answer, stopped+" was stopped in Pending:Wait, and the next") {
		t.Errorf("%q, %v; %s was stopped", answer, err, stopped)
	}
	_, all, err := machines.Simulator.Snapshot("workers")
	if err != nil || len(all) == 0 || all[len(all)-1].ID == stopped {
		t.Errorf("%+v, %v", all, err)
	}
}

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
