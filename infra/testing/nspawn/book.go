package nspawn

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"imagery/app/deploy/settings"
)

// book holds what the services count of themselves, as CloudWatch would take it from their log lines.
type book struct {
	host    *Host
	at      map[string]int64 // how far each machine's log was read
	entries []entry
}

type entry struct {
	time       time.Time
	role, name string
	value      float64
}

// serviceLog is where the service of a machine writes.
const serviceLog = "/var/log/imagery/imagery.log"

// read takes the lines that are new. What a machine wrote last before it went off is lost, as it may be on AWS.
func (b *book) read() {
	b.host.mu.Lock()
	var on []*machine
	for _, m := range b.host.machines {
		on = append(on, m)
	}
	b.host.mu.Unlock()
	for _, m := range on {
		if pid := b.host.Leader(m.ID); pid > 0 {
			b.readFrom(m.ID, fmt.Sprintf("/proc/%d/root%s", pid, serviceLog))
		}
	}
}

func (b *book) readFrom(id, path string) {
	f, err := os.Open(path)
	if err != nil {
		return // before the service was installed, or when the machine goes off
	}
	defer f.Close()
	if _, err := f.Seek(b.at[id], io.SeekStart); err != nil {
		return
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return
	}
	whole := text[:bytes.LastIndexByte(text, '\n')+1]
	b.at[id] += int64(len(whole))
	for line := range bytes.Lines(whole) {
		b.note(line)
	}
}

// note reads a line in the Embedded Metric Format: it names those of its members that are metrics.
func (b *book) note(line []byte) {
	var said struct {
		AWS struct {
			Timestamp         int64
			CloudWatchMetrics []struct {
				Namespace string
				Metrics   []struct{ Name string }
			}
		} `json:"_aws"`
	}
	members := map[string]any{}
	if json.Unmarshal(line, &said) != nil || said.AWS.Timestamp == 0 || json.Unmarshal(line, &members) != nil {
		return // a line without metrics
	}
	role, _ := members[settings.DimensionRole].(string)
	for _, d := range said.AWS.CloudWatchMetrics {
		for _, m := range d.Metrics {
			if v, is := members[m.Name].(float64); is && d.Namespace == settings.MetricNamespace {
				b.entries = append(b.entries, entry{time.UnixMilli(said.AWS.Timestamp), role, m.Name, v})
			}
		}
	}
}

// values are those of a metric from a time on and before another.
func (b *book) values(role, name string, from, to time.Time) []float64 {
	var out []float64
	for _, e := range b.entries {
		if e.role == role && e.name == name && !e.time.Before(from) && e.time.Before(to) {
			out = append(out, e.value)
		}
	}
	return out
}

// forget drops what is older.
func (b *book) forget(than time.Time) {
	b.entries = slices.DeleteFunc(b.entries, func(e entry) bool { return e.time.Before(than) })
}
