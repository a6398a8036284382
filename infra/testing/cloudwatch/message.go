package cloudwatch

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// Message is a notification of a change of state. Its JSON is that of CloudWatch.
type Message struct {
	AlarmName               string
	AlarmDescription        *string
	AWSAccountID            string `json:"AWSAccountId"`
	NewStateValue           types.StateValue
	NewStateReason          string
	StateChangeTime         string
	Region                  string // its display name
	AlarmArn                string
	OldStateValue           types.StateValue
	OKActions, AlarmActions []string
	InsufficientDataActions []string
	Trigger                 trigger
}

// trigger describes the metric, or the metrics and the expression, of an alarm.
type trigger struct {
	MetricName                       string          `json:",omitempty"`
	Namespace                        string          `json:",omitempty"`
	StatisticType                    string          `json:",omitempty"` // Statistic or ExtendedStatistic
	Statistic                        string          `json:",omitempty"`
	ExtendedStatistic                string          `json:",omitempty"`
	Dimensions                       []dimension     `json:",omitempty"`
	Metrics                          []triggerMetric `json:",omitempty"`
	Period                           int
	EvaluationPeriods                int32
	DatapointsToAlarm                *int32 `json:",omitempty"`
	ComparisonOperator               types.ComparisonOperator
	Threshold                        float64
	TreatMissingData                 string
	EvaluateLowSampleCountPercentile string
}

type dimension struct {
	Value string `json:"value"`
	Name  string `json:"name"`
}

type triggerMetric struct {
	ID         string      `json:"Id"`
	Expression string      `json:",omitempty"`
	Label      string      `json:",omitempty"`
	MetricStat *metricStat `json:",omitempty"`
	ReturnData bool
}

type metric struct {
	Dimensions            []dimension
	MetricName, Namespace string
}

type metricStat struct {
	Metric metric
	Period int32
	Stat   string
}

func dimensionsOf(in []types.Dimension) []dimension {
	var out []dimension
	for _, d := range in {
		out = append(out, dimension{aws.ToString(d.Value), aws.ToString(d.Name)})
	}
	return out
}

// messageOf returns the message about a change of state.
func messageOf(a types.MetricAlarm, r Result, at time.Time) Message {
	of, _ := arn.Parse(aws.ToString(a.AlarmArn)) // one that cannot be parsed has neither account nor region
	m := Message{AlarmName: aws.ToString(a.AlarmName), AlarmDescription: a.AlarmDescription, AWSAccountID: of.AccountID,
		NewStateValue: r.State, NewStateReason: r.Reason, OldStateValue: a.StateValue,
		StateChangeTime: at.UTC().Format("2006-01-02T15:04:05.000-0700"), Region: regionName(of.Region),
		AlarmArn: aws.ToString(a.AlarmArn), OKActions: a.OKActions, AlarmActions: a.AlarmActions,
		InsufficientDataActions: a.InsufficientDataActions,
		Trigger: trigger{MetricName: aws.ToString(a.MetricName), Namespace: aws.ToString(a.Namespace),
			Dimensions: dimensionsOf(a.Dimensions), Period: int(Period(a) / time.Second),
			EvaluationPeriods: aws.ToInt32(a.EvaluationPeriods), DatapointsToAlarm: a.DatapointsToAlarm,
			ComparisonOperator: a.ComparisonOperator, Threshold: aws.ToFloat64(a.Threshold),
			TreatMissingData:                 aws.ToString(a.TreatMissingData),
			EvaluateLowSampleCountPercentile: aws.ToString(a.EvaluateLowSampleCountPercentile)}}
	if a.ExtendedStatistic != nil {
		m.Trigger.StatisticType, m.Trigger.ExtendedStatistic = "ExtendedStatistic", *a.ExtendedStatistic
	} else if a.Statistic != "" {
		m.Trigger.StatisticType, m.Trigger.Statistic = "Statistic", strings.ToUpper(string(a.Statistic))
	}
	for _, q := range a.Metrics {
		out := triggerMetric{ID: aws.ToString(q.Id), Expression: aws.ToString(q.Expression), Label: aws.ToString(q.Label),
			ReturnData: aws.ToBool(q.ReturnData)}
		if s := q.MetricStat; s != nil {
			out.MetricStat = &metricStat{metric{dimensionsOf(s.Metric.Dimensions), aws.ToString(s.Metric.MetricName),
				aws.ToString(s.Metric.Namespace)}, aws.ToInt32(s.Period), aws.ToString(s.Stat)}
		}
		m.Trigger.Metrics = append(m.Trigger.Metrics, out)
	}
	return m
}

// regionName returns the display name of a region.
func regionName(code string) string {
	return cmp.Or(map[string]string{"us-east-1": "US East (N. Virginia)", "eu-central-1": "EU (Frankfurt)",
		"eu-west-1": "EU (Ireland)"}[code], code)
}

// Subject returns the subject of a mail.
func (m Message) Subject() string {
	return fmt.Sprintf("%s: %q in %s", m.NewStateValue, m.AlarmName, m.Region)
}

// mailText is the message for people.
const mailText = `You are receiving this email because your Amazon CloudWatch Alarm "%s" in the %s region
has entered the %s state, because "%s" at "%s".

Alarm Details:
- Name:                       %s
- Description:                %s
- State Change:               %s -> %s
- Reason for State Change:    %s
- Timestamp:                  %s
- AWS Account:                %s
- Alarm Arn:                  %s
`

// Structure returns the message with one text for each protocol, as in the history of an alarm. "Set MessageStructure
// to json if you want to send a different message for each protocol."
func (m Message) Structure() string {
	description := aws.ToString(m.AlarmDescription)
	forPrograms, _ := json.Marshal(m) // texts and numbers can be encoded
	text, _ := json.Marshal(map[string]string{"default": string(forPrograms),
		"email": fmt.Sprintf(mailText, m.AlarmName, m.Region, m.NewStateValue, m.NewStateReason, m.StateChangeTime,
			m.AlarmName, description, m.OldStateValue, m.NewStateValue, m.NewStateReason, m.StateChangeTime,
			m.AWSAccountID, m.AlarmArn)})
	return string(text)
}
