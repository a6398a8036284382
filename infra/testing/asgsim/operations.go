package asgsim

import (
	"encoding/base64"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/encoding/cbor"
)

// Describe returns the operation of a read that polls repeat, or nil for another input. It skips the encoding, which
// takes most of the time of a simulation.
func (s *Simulator) Describe(in any) func() (any, error) {
	switch in := in.(type) {
	case *autoscaling.DescribeAutoScalingGroupsInput:
		return func() (any, error) { return s.describeGroups(in) }
	case *autoscaling.DescribeScalingActivitiesInput:
		return func() (any, error) { return s.describeActivities(in) }
	case *autoscaling.DescribeInstanceRefreshesInput:
		return func() (any, error) { return s.describeRefreshes(in) }
	case *elasticloadbalancingv2.DescribeTargetHealthInput:
		return func() (any, error) { return s.describeTargets(in) }
	}
	return nil
}

// groupNames returns the given names, or those of all groups.
func (s *Simulator) groupNames(of []string) []string {
	if of != nil {
		return of
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.groups))
}

func (s *Simulator) describeGroups(in *autoscaling.DescribeAutoScalingGroupsInput) (any, error) {
	out := &autoscaling.DescribeAutoScalingGroupsOutput{}
	for _, name := range s.groupNames(in.AutoScalingGroupNames) {
		g, instances, err := s.Snapshot(name)
		if err != nil {
			continue // AWS ignores unknown names
		}
		d := types.AutoScalingGroup{AutoScalingGroupName: &g.Name, AvailabilityZones: g.Zones,
			MinSize: number(g.Min), MaxSize: number(g.Max), DesiredCapacity: number(g.Desired),
			HealthCheckType: aws.String("EC2"), HealthCheckGracePeriod: seconds(g.Grace),
			DefaultInstanceWarmup: seconds(g.warmup()), LaunchTemplate: launchTemplate(g.Template, g.Version),
			InstanceMaintenancePolicy: &types.InstanceMaintenancePolicy{
				MinHealthyPercentage: number(g.MinHealthy), MaxHealthyPercentage: number(g.MaxHealthy)}}
		if g.ELB {
			d.HealthCheckType = aws.String("ELB")
		}
		if g.TargetGroup != "" {
			d.TargetGroupARNs = []string{g.TargetGroup}
		}
		for _, i := range instances {
			health := map[bool]string{true: "Healthy", false: "Unhealthy"}[i.Healthy]
			d.Instances = append(d.Instances, types.Instance{InstanceId: &i.ID, AvailabilityZone: &i.Zone,
				LifecycleState: i.State, HealthStatus: &health, LaunchTemplate: launchTemplate(g.Template, i.Version)})
		}
		for process, reason := range s.Suspended(name) {
			d.SuspendedProcesses = append(d.SuspendedProcesses,
				types.SuspendedProcess{ProcessName: &process, SuspensionReason: &reason})
		}
		out.AutoScalingGroups = append(out.AutoScalingGroups, d)
	}
	return out, nil
}

func launchTemplate(id, version string) *types.LaunchTemplateSpecification {
	return &types.LaunchTemplateSpecification{LaunchTemplateId: &id, Version: &version}
}

func number(n int) *int32 { return aws.Int32(int32(n)) }

func seconds(d time.Duration) *int32 { return number(int(d / time.Second)) }

// describeActivities returns the newest page: "MaxRecords: the default value is 100 and the maximum value is 100."
func (s *Simulator) describeActivities(in *autoscaling.DescribeScalingActivitiesInput) (any, error) {
	out := &autoscaling.DescribeScalingActivitiesOutput{}
	for _, a := range s.Activities(*in.AutoScalingGroupName) {
		if len(out.Activities) < 100 {
			out.Activities = append(out.Activities, a.Activity)
		}
	}
	return out, nil
}

// describeRefreshes: "The instance refreshes for the specified group, sorted by creation timestamp in descending
// order." It returns all of them.
func (s *Simulator) describeRefreshes(in *autoscaling.DescribeInstanceRefreshesInput) (any, error) {
	all, err := s.Refreshes(*in.AutoScalingGroupName)
	return &autoscaling.DescribeInstanceRefreshesOutput{InstanceRefreshes: all}, err
}

func (s *Simulator) describeTargets(in *elasticloadbalancingv2.DescribeTargetHealthInput) (any, error) {
	for _, name := range s.groupNames(nil) {
		g, instances, err := s.Snapshot(name)
		if err != nil || g.TargetGroup != *in.TargetGroupArn {
			continue
		}
		out := &elasticloadbalancingv2.DescribeTargetHealthOutput{}
		for _, i := range instances {
			if i.Target != "" {
				out.TargetHealthDescriptions = append(out.TargetHealthDescriptions, elb.TargetHealthDescription{
					Target: &elb.TargetDescription{Id: &i.ID}, TargetHealth: &elb.TargetHealth{
						State: elb.TargetHealthStateEnum(i.Target), Reason: elb.TargetHealthReasonEnum(i.Reason)}})
			}
		}
		return out, nil
	}
	return nil, &smithy.GenericAPIError{Code: "TargetGroupNotFound", Message: "One or more target groups not found"}
}

func (s *Simulator) updateGroup(in *autoscaling.UpdateAutoScalingGroupInput) (any, error) {
	size := func(n *int32) *int {
		if n == nil {
			return nil
		}
		return aws.Int(int(*n))
	}
	duration := func(n *int32) *time.Duration {
		if n == nil {
			return nil
		}
		return aws.Duration(time.Duration(*n) * time.Second)
	}
	c := Change{Min: size(in.MinSize), Max: size(in.MaxSize), Desired: size(in.DesiredCapacity),
		Grace: duration(in.HealthCheckGracePeriod), Warmup: duration(in.DefaultInstanceWarmup), Zones: in.AvailabilityZones}
	if t := in.LaunchTemplate; t != nil {
		c.Version = aws.ToString(t.Version)
	}
	if in.HealthCheckType != nil {
		c.ELB = aws.Bool(*in.HealthCheckType == "ELB")
	}
	if p := in.InstanceMaintenancePolicy; p != nil {
		c.MinHealthy, c.MaxHealthy = size(p.MinHealthyPercentage), size(p.MaxHealthyPercentage)
	}
	return nil, s.Update(*in.AutoScalingGroupName, c)
}

func (s *Simulator) completeLifecycleAction(in *autoscaling.CompleteLifecycleActionInput) (any, error) {
	return nil, s.complete(*in.AutoScalingGroupName, *in.LifecycleHookName,
		*in.InstanceId, *in.LifecycleActionResult)
}

func (s *Simulator) terminateInstance(in *autoscaling.TerminateInstanceInAutoScalingGroupInput) (any, error) {
	if aws.ToBool(in.ShouldDecrementDesiredCapacity) {
		return nil, invalid("the simulator replaces what is terminated: ShouldDecrementDesiredCapacity must be false")
	}
	return nil, s.Terminate(*in.InstanceId)
}

func (s *Simulator) suspendProcesses(in *autoscaling.SuspendProcessesInput) (any, error) {
	return nil, s.Suspend(*in.AutoScalingGroupName, "", in.ScalingProcesses...)
}

func (s *Simulator) resumeProcesses(in *autoscaling.ResumeProcessesInput) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.group(*in.AutoScalingGroupName)
	if err != nil {
		return nil, err
	}
	for process := range g.suspended {
		if in.ScalingProcesses == nil || slices.Contains(in.ScalingProcesses, process) {
			delete(g.suspended, process)
		}
	}
	return nil, nil
}

// describeTemplateVersions: "You can describe all versions, individual versions, or a range of versions." Only numbers
// are implemented.
func (s *Simulator) describeTemplateVersions(f url.Values) ([]byte, error) {
	type version struct {
		ID       string `xml:"launchTemplateId"`
		Number   int    `xml:"versionNumber"`
		Image    string `xml:"launchTemplateData>imageId,omitempty"`
		UserData string `xml:"launchTemplateData>userData"`
	}
	var set struct {
		Items []version `xml:"item"`
	}
	id, asked := f.Get("LaunchTemplateId"), []string{}
	for n := 1; f.Has("LaunchTemplateVersion." + strconv.Itoa(n)); n++ {
		asked = append(asked, f.Get("LaunchTemplateVersion."+strconv.Itoa(n)))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.templates[id] {
		if len(asked) == 0 || slices.Contains(asked, strconv.Itoa(v.Number)) {
			set.Items = append(set.Items, version{id, v.Number, v.Image, base64.StdEncoding.EncodeToString([]byte(v.UserData))})
		}
	}
	if len(set.Items) < len(asked) {
		return nil, &smithy.GenericAPIError{Code: "InvalidLaunchTemplateId.VersionNotFound",
			Message: "Could not find a specified version for the launch template with ID " + id}
	}
	return marshal("launchTemplateVersionSet", set)
}

// getConsoleOutput: "The output is encoded in base64". AWS keeps the output of a terminated instance for about an hour,
// the simulator keeps it until the end.
func (s *Simulator) getConsoleOutput(f url.Values) ([]byte, error) {
	output := s.Driver.Console(f.Get("InstanceId"))
	return marshal("output", base64.StdEncoding.EncodeToString([]byte(output)))
}

// cloudWatchPath is the prefix of the paths of CloudWatch, whose protocol is Smithy's RPC v2 with CBOR.
const cloudWatchPath = "/service/GraniteServiceVersion20100801/operation/"

// serveCloudWatch implements DescribeAlarms, by names.
func (s *Simulator) serveCloudWatch(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	in, decodeErr := cbor.Decode(body)
	parameters, ok := in.(cbor.Map)
	if err != nil || decodeErr != nil || !ok || r.URL.Path != cloudWatchPath+"DescribeAlarms" {
		http.Error(w, "the simulator implements DescribeAlarms only", http.StatusBadRequest)
		return
	}
	names, _ := parameters["AlarmNames"].(cbor.List)
	s.mu.Lock()
	defer s.mu.Unlock()
	alarms := cbor.List{}
	for _, name := range names {
		if state := s.alarms[string(name.(cbor.String))]; state != "" {
			alarms = append(alarms, cbor.Map{"AlarmName": name, "StateValue": cbor.String(state)})
		}
	}
	w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
	w.Header().Set("Content-Type", "application/cbor")
	_, _ = w.Write(cbor.Encode(cbor.Map{"MetricAlarms": alarms})) // fails only if the client closed the connection
}
