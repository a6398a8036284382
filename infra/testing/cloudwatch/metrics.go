// Package cloudwatch simulates CloudWatch as documented: metrics, alarms that are evaluated on them, and the messages
// that alarms publish. Alarms are those of the SDK, so that they may be read back from where a program created them. A
// factor divides their periods; the values of metrics and thresholds stay as they are.
//
// Comments quote the sentence of AWS's documentation from which a rule comes, or say "not documented".
package cloudwatch

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// Metric identifies a metric: "Metrics are uniquely defined by a name, a namespace, and zero or more dimensions."
type Metric struct {
	Namespace, Name string
	Dimensions      map[string]string
}

// metricOf returns the metric that an alarm names.
func metricOf(namespace, name *string, dimensions []types.Dimension) Metric {
	m := Metric{aws.ToString(namespace), aws.ToString(name), map[string]string{}}
	for _, d := range dimensions {
		m.Dimensions[aws.ToString(d.Name)] = aws.ToString(d.Value)
	}
	return m
}

func (m Metric) key() string {
	parts := []string{m.Namespace, m.Name}
	for _, name := range slices.Sorted(maps.Keys(m.Dimensions)) {
		parts = append(parts, name, m.Dimensions[name])
	}
	return strings.Join(parts, "\x00")
}

// Datum is one value of a metric.
type Datum struct {
	Metric
	At    time.Time
	Value float64
}

// Store holds the data of metrics. The zero value is empty.
type Store struct {
	mu   sync.Mutex
	data map[string][]measured // by key
}

// measured is a value without its metric, since there are many.
type measured struct {
	at    int64 // nanoseconds since 1970
	value float64
}

// Put adds data.
func (s *Store) Put(data ...Datum) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.data == nil {
		s.data = map[string][]measured{}
	}
	for _, d := range data {
		s.data[d.key()] = append(s.data[d.key()], measured{d.At.UnixNano(), d.Value})
	}
}

// values returns the values of a metric in [from, to).
func (s *Store) values(m Metric, from, to time.Time) []float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []float64
	for _, d := range s.data[m.key()] {
		if d.at >= from.UnixNano() && d.at < to.UnixNano() {
			out = append(out, d.value)
		}
	}
	return out
}

// Forget drops the data of times before at.
func (s *Store) Forget(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, data := range s.data {
		if data = slices.DeleteFunc(data, func(d measured) bool { return d.at < at.UnixNano() }); len(data) == 0 {
			delete(s.data, key)
		} else {
			s.data[key] = data
		}
	}
}

// Embedded returns the metrics of a log line in the Embedded Metric Format, with namespace, name and dimensions exactly
// as the line says; a line without metrics has none. "Each DimensionSet is an array of strings", the names of members
// of the line, and makes a metric of its own. A metric's "value must be numeric, or an array of numeric values".
func Embedded(line []byte) (out []Datum) {
	var emf struct {
		AWS struct {
			Timestamp         int64
			CloudWatchMetrics []struct {
				Namespace  string
				Dimensions [][]string
				Metrics    []struct{ Name string }
			}
		} `json:"_aws"`
	}
	members := map[string]any{}
	if json.Unmarshal(line, &emf) != nil || emf.AWS.Timestamp == 0 || json.Unmarshal(line, &members) != nil {
		return nil
	}
	at := time.UnixMilli(emf.AWS.Timestamp)
	for _, d := range emf.AWS.CloudWatchMetrics {
		for _, names := range d.Dimensions {
			dimensions := map[string]string{}
			for _, name := range names {
				if value, is := members[name].(string); is {
					dimensions[name] = value
				}
			}
			if len(dimensions) < len(names) {
				continue
			}
			for _, m := range d.Metrics {
				for _, value := range numbers(members[m.Name]) {
					out = append(out, Datum{Metric{d.Namespace, m.Name, dimensions}, at, value})
				}
			}
		}
	}
	return out
}

// numbers returns a number, or the numbers of a list.
func numbers(v any) (out []float64) {
	switch v := v.(type) {
	case float64:
		return []float64{v}
	case []any:
		for _, v := range v {
			out = append(out, numbers(v)...)
		}
	}
	return out
}
