package cloudwatch

import (
	"context"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go"
)

// Memory is an API that stores alarms in memory.
type Memory struct {
	mu     sync.Mutex
	alarms []types.MetricAlarm
}

// Put stores an alarm in place of the one with its name.
func (s *Memory) Put(a types.MetricAlarm) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alarms = slices.DeleteFunc(s.alarms, func(old types.MetricAlarm) bool { return *old.AlarmName == *a.AlarmName })
	s.alarms = append(s.alarms, a)
}

// DescribeAlarms implements API, by names.
func (s *Memory) DescribeAlarms(_ context.Context, in *cloudwatch.DescribeAlarmsInput,
	_ ...func(*cloudwatch.Options)) (*cloudwatch.DescribeAlarmsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.DeleteFunc(slices.Clone(s.alarms), func(a types.MetricAlarm) bool {
		return in.AlarmNames != nil && !slices.Contains(in.AlarmNames, *a.AlarmName)
	})
	return &cloudwatch.DescribeAlarmsOutput{MetricAlarms: all}, nil
}

// SetAlarmState implements API.
func (s *Memory) SetAlarmState(_ context.Context, in *cloudwatch.SetAlarmStateInput,
	_ ...func(*cloudwatch.Options)) (*cloudwatch.SetAlarmStateOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.alarms {
		if a := &s.alarms[i]; *a.AlarmName == aws.ToString(in.AlarmName) {
			a.StateValue, a.StateReason = in.StateValue, in.StateReason
			return &cloudwatch.SetAlarmStateOutput{}, nil
		}
	}
	return nil, &smithy.GenericAPIError{Code: "ResourceNotFound", Message: "there is no such alarm"}
}
