package nspawn

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"time"

	"imagery/app/deploy/settings"
)

// metricLog holds the metrics that services wrote into their logs, as CloudWatch would extract them.
type metricLog struct {
	host    *Host
	at      map[string]int64 // offset read so far, by machine
	entries []entry
}

type entry struct {
	time       time.Time
	role, name string
	value      float64
}

// serviceLog is the path of a service's log.
const serviceLog = "/var/log/imagery/imagery.log"

// read reads new log lines. The last lines before a machine powered off are lost, as they may be on AWS.
func (b *metricLog) read() {
	b.host.mu.Lock()
	ids := slices.Collect(maps.Keys(b.host.machines))
	b.host.mu.Unlock()
	for _, id := range ids {
		b.readFrom(id, fmt.Sprintf("/proc/%d/root%s", b.host.Leader(id), serviceLog))
	}
}

func (b *metricLog) readFrom(id, path string) {
	f, err := os.Open(path)
	if err != nil {
		return // before the service was installed, or when the machine powers off
	}
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, b.at[id], math.MaxInt64-b.at[id]))
	if err != nil {
		return
	}
	whole := text[:bytes.LastIndexByte(text, '\n')+1]
	b.at[id] += int64(len(whole))
	for line := range bytes.Lines(whole) {
		b.note(line)
	}
}

// note records the metrics of a line in the Embedded Metric Format, which names the members that are metrics.
func (b *metricLog) note(line []byte) {
	var emf struct {
		AWS struct {
			Timestamp         int64
			CloudWatchMetrics []struct {
				Namespace string
				Metrics   []struct{ Name string }
			}
		} `json:"_aws"`
	}
	members := map[string]any{}
	if json.Unmarshal(line, &emf) != nil || emf.AWS.Timestamp == 0 || json.Unmarshal(line, &members) != nil {
		return // a line without metrics
	}
	role, _ := members[settings.DimensionRole].(string)
	for _, d := range emf.AWS.CloudWatchMetrics {
		for _, m := range d.Metrics {
			if v, is := members[m.Name].(float64); is && d.Namespace == settings.MetricNamespace {
				b.entries = append(b.entries, entry{time.UnixMilli(emf.AWS.Timestamp), role, m.Name, v})
			}
		}
	}
}

// values returns the values of a metric in [from, to).
func (b *metricLog) values(role, name string, from, to time.Time) []float64 {
	var out []float64
	for _, e := range b.entries {
		if e.role == role && e.name == name && !e.time.Before(from) && e.time.Before(to) {
			out = append(out, e.value)
		}
	}
	return out
}

// forget drops entries older than the given time.
func (b *metricLog) forget(than time.Time) {
	b.entries = slices.DeleteFunc(b.entries, func(e entry) bool { return e.time.Before(than) })
}
