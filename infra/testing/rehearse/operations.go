package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"imagery/infra/testing/asgsim"
	topics "imagery/infra/testing/sns"
)

// operation serves a call of the Query protocol.
type operation func(f *front, w http.ResponseWriter, r *http.Request, form url.Values)

// operations are those that are not only passed on to moto.
var operations = map[string]operation{
	"CreateAutoScalingGroup":              after((*front).createGroup),
	"UpdateAutoScalingGroup":              updateGroup,
	"DeleteAutoScalingGroup":              deleteGroup,
	"DescribeAutoScalingGroups":           describeGroups,
	"DescribeLifecycleHooks":              describeHooks,
	"DescribePolicies":                    describePolicies,
	"PutLifecycleHook":                    after((*front).putHook),
	"DeleteLifecycleHook":                 after((*front).deleteHook),
	"CompleteLifecycleAction":             simulate,
	"SuspendProcesses":                    both,
	"TerminateInstanceInAutoScalingGroup": simulate,
	"ResumeProcesses":                     both,
	"DescribeScalingActivities":           simulate,
	"StartInstanceRefresh":                simulate,
	"DescribeInstanceRefreshes":           simulate,
	"RollbackInstanceRefresh":             simulate,
	"CancelInstanceRefresh":               simulate,

	"CreateLoadBalancer":          after((*front).nameBalancer),
	"CreateListener":              then((*front).followBalancer),
	"ModifyListener":              then((*front).followBalancer),
	"DeleteListener":              then((*front).followBalancer),
	"DeleteLoadBalancer":          then((*front).followBalancer),
	"ModifyTargetGroup":           then((*front).followBalancer),
	"ModifyTargetGroupAttributes": after((*front).changeTargetGroup),
	"DescribeTargetHealth":        simulate,

	"EnableMetricsCollection":  after((*front).enableMetrics),
	"DisableMetricsCollection": after((*front).disableMetrics),
	"PutScalingPolicy":         after((*front).putScalingPolicy),
	"DeletePolicy":             after((*front).deletePolicy),

	"DeleteTopic":               after((*front).topicDeleted),
	"Subscribe":                 subscriptions((*topics.Service).Subscribe),
	"ConfirmSubscription":       subscriptions((*topics.Service).ConfirmSubscription),
	"Unsubscribe":               subscriptions((*topics.Service).Unsubscribe),
	"GetSubscriptionAttributes": subscriptions((*topics.Service).GetSubscriptionAttributes),
	"ListSubscriptionsByTopic":  subscriptions((*topics.Service).ListSubscriptionsByTopic),
	"ListSubscriptions":         subscriptions((*topics.Service).ListSubscriptions),
	"Publish":                   subscriptions((*topics.Service).Publish),

	"PutRolePolicy": after((*front).attachPolicy),

	"DescribeInstances":              describeInstances,
	"DescribeInstanceStatus":         describeInstanceStatus,
	"TerminateInstances":             end(terminated),
	"StopInstances":                  end(stopped),
	"RebootInstances":                rebootInstances,
	"GetConsoleOutput":               simulate,
	"DescribeLaunchTemplateVersions": describeTemplateVersions,
	"ReplaceNetworkAclAssociation":   then((*front).followACLs),
	"CreateNetworkAclEntry":          then((*front).followACLs),
	"ReplaceNetworkAclEntry":         then((*front).followACLs),
	"DeleteNetworkAclEntry":          then((*front).followACLs),

	// What the simulator does not have is refused rather than ignored.
	"AttachLoadBalancerTargetGroups": notImplemented,
	"DetachLoadBalancerTargetGroups": notImplemented,
	"SetInstanceProtection":          notImplemented,
	"SetSubscriptionAttributes":      notImplemented,
	"PublishBatch":                   notImplemented,
	"ExecutePolicy":                  notImplemented,
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
func after[I any](do func(*front, context.Context, *I) error) operation {
	return func(f *front, w http.ResponseWriter, r *http.Request, form url.Values) {
		answer := record(f.pass, r, form)
		if answer.Code == http.StatusOK {
			in := new(I)
			err := asgsim.Decode(form, in)
			if err == nil {
				err = do(f, r.Context(), in)
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

// then lets moto serve the call and, if that succeeds, makes the machines or the load balancer follow.
func then(follow func(*front, context.Context) error) operation {
	return after(func(f *front, ctx context.Context, _ *struct{}) error { return follow(f, ctx) })
}

// notImplemented refuses a call.
func notImplemented(_ *front, w http.ResponseWriter, _ *http.Request, form url.Values) {
	asgsim.WriteResponse(w, "", nil, &smithy.GenericAPIError{Code: "NotImplemented",
		Message: "the rehearsal does not implement " + form.Get("Action")})
}

// updateGroup is both, for groups: the simulator knows zones only, not subnets.
func updateGroup(f *front, w http.ResponseWriter, r *http.Request, form url.Values) {
	name, subnets := form.Get("AutoScalingGroupName"), map[string]string(nil)
	theirs := maps.Clone(form)
	if ids := form.Get("VPCZoneIdentifier"); ids != "" {
		var err error
		if subnets, err = f.zonesOf(r.Context(), ids); err != nil {
			asgsim.WriteResponse(w, "", nil, err)
			return
		}
		for n, zone := range slices.Sorted(maps.Values(subnets)) {
			theirs.Set(fmt.Sprintf("AvailabilityZones.member.%d", n+1), zone)
		}
	}
	if answer := record(f.simulated, r, theirs); answer.Code != http.StatusOK {
		send(w, answer)
		return
	}
	if subnets != nil {
		f.mu.Lock()
		source := f.groups[name]
		source.subnets = subnets
		f.groups[name] = source
		f.mu.Unlock()
	}
	send(w, record(f.pass, r, form))
}

// deleteGroup deletes a group that has no instances, or all of it by force.
func deleteGroup(f *front, w http.ResponseWriter, r *http.Request, form url.Values) {
	in := &autoscaling.DeleteAutoScalingGroupInput{}
	err := asgsim.Decode(form, in)
	if err == nil {
		err = f.deletable(in)
	}
	if err != nil {
		asgsim.WriteResponse(w, "", nil, err)
		return
	}
	after((*front).removeGroup)(f, w, r, form)
}

// record lets a handler serve a copy of the request, with other parameters.
func record(h http.Handler, r *http.Request, form url.Values) *httptest.ResponseRecorder {
	return recordBody(h, r, []byte(form.Encode()))
}

// recordBody lets a handler serve a copy of the request, with another body.
func recordBody(h http.Handler, r *http.Request, body []byte) *httptest.ResponseRecorder {
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
			// moto forgets or invents these.
			g.DefaultInstanceWarmup, g.HealthCheckGracePeriod = now[0].DefaultInstanceWarmup, now[0].HealthCheckGracePeriod
			g.InstanceMaintenancePolicy, g.CapacityReservationSpecification = now[0].InstanceMaintenancePolicy, nil
		}
	}
	out.ResultMetadata = middleware.Metadata{}
	asgsim.WriteResponse(w, "DescribeAutoScalingGroups", out, nil)
}
