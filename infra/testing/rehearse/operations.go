package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/smithy-go/middleware"

	"imagery/infra/testing/asgsim"
)

// operation serves a call of the Query protocol.
type operation func(f *front, w http.ResponseWriter, r *http.Request, form url.Values)

// operations are those that are not only passed on to moto.
var operations = map[string]operation{
	"CreateAutoScalingGroup":    after((*front).createGroup),
	"PutLifecycleHook":          after((*front).putHook),
	"DeleteAutoScalingGroup":    after((*front).deleteGroup),
	"DescribeAutoScalingGroups": describeGroups,
	"UpdateAutoScalingGroup":    both,
	"SuspendProcesses":          both,
	"ResumeProcesses":           both,
	"DescribeScalingActivities": simulate,
	"CompleteLifecycleAction":   simulate,
	"StartInstanceRefresh":      simulate,
	"DescribeInstanceRefreshes": simulate,
	"RollbackInstanceRefresh":   simulate,
	"CancelInstanceRefresh":     simulate,
	"CreateLoadBalancer":        after((*front).nameBalancer),
	"CreateListener":            after((*front).balance),
	"DescribeTargetHealth":      simulate,
	"PutRolePolicy":             after((*front).attachPolicy),
	"GetConsoleOutput":          simulate,
}

// simulate lets the simulator answer.
func simulate(f *front, w http.ResponseWriter, r *http.Request, _ url.Values) {
	f.simulated.ServeHTTP(w, r)
}

// both lets the simulator serve the call, and then moto, which keeps the settings of groups.
func both(f *front, w http.ResponseWriter, r *http.Request, form url.Values) {
	if answer := record(f.simulated, r, form); answer.Code != http.StatusOK {
		send(w, answer)
		return
	}
	send(w, record(f.pass, r, form))
}

// after lets moto serve the call and, if that succeeds, does the same for the machines or the load balancer.
func after[I any](do func(*front, *I) error) operation {
	return func(f *front, w http.ResponseWriter, r *http.Request, form url.Values) {
		answer := record(f.pass, r, form)
		if answer.Code == http.StatusOK {
			in := new(I)
			err := asgsim.Decode(form, in)
			if err == nil {
				err = do(f, in)
			}
			if err != nil {
				logf("%s: %v", form.Get("Action"), err)
				asgsim.WriteResponse(w, form.Get("Action"), nil, err)
				return
			}
		}
		send(w, answer)
	}
}

// record lets a handler serve a copy of the request.
func record(h http.Handler, r *http.Request, form url.Values) *httptest.ResponseRecorder {
	body := []byte(form.Encode())
	r = r.Clone(r.Context())
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, r)
	return answer
}

// send copies a recorded answer.
func send(w http.ResponseWriter, answer *httptest.ResponseRecorder) {
	for k, v := range answer.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()) // fails only if the client went away
}

// describeGroups answers with moto's description of groups, in which the simulator's values replace those that change
// while machines run.
func describeGroups(f *front, w http.ResponseWriter, r *http.Request, form url.Values) {
	in := &autoscaling.DescribeAutoScalingGroupsInput{}
	if err := asgsim.Decode(form, in); err != nil {
		asgsim.WriteResponse(w, "DescribeAutoScalingGroups", nil, err)
		return
	}
	out, err := autoscaling.NewFromConfig(f.moto.config).DescribeAutoScalingGroups(r.Context(), in)
	if err != nil {
		asgsim.WriteResponse(w, "DescribeAutoScalingGroups", nil, err)
		return
	}
	for i := range out.AutoScalingGroups {
		g := &out.AutoScalingGroups[i]
		live, err := f.sim.Describe(&autoscaling.DescribeAutoScalingGroupsInput{
			AutoScalingGroupNames: []string{*g.AutoScalingGroupName}})()
		if now := live.(*autoscaling.DescribeAutoScalingGroupsOutput).AutoScalingGroups; err == nil && len(now) == 1 {
			g.Instances, g.SuspendedProcesses = now[0].Instances, now[0].SuspendedProcesses
			g.LaunchTemplate, g.DesiredCapacity = now[0].LaunchTemplate, now[0].DesiredCapacity
		}
	}
	out.ResultMetadata = middleware.Metadata{}
	asgsim.WriteResponse(w, "DescribeAutoScalingGroups", out, nil)
}
