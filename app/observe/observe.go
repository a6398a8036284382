// Package observe is how processes speak: one structured log, whose lines carry CloudWatch metrics where
// alarms need them, the identity of the running binary, and trace ids. It imports the standard library and
// the names in settings only.
package observe

import (
	"context"
	"io"
	"log/slog"
	"os"
	"time"

	"imagery/app/deploy/settings"
)

// Identity is what every line of a process says about it.
type Identity struct {
	Stack    string
	Role     string
	Release  string // see Release
	Instance string // EC2 instance id, or the local process name
}

// NewLogger writes one JSON object per line, or, on a terminal, lines for a person: there the identity, which
// the fleet prints as a prefix, and the metric envelope are left out.
func NewLogger(w io.Writer, id Identity) *slog.Logger {
	if IsTerminal(w) || os.Getenv(PrettyEnv) != "" {
		return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: forPeople}))
	}
	return slog.New(slog.NewJSONHandler(w, nil)).With(
		settings.DimensionStack, id.Stack, settings.DimensionRole, id.Role, "release", id.Release, "instance", id.Instance)
}

// PrettyEnv tells a child process whose output ends on a terminal to write for people.
const PrettyEnv = "IMAGERY_LOG_PRETTY"

// IsTerminal reports whether w is a character device, or leads to one.
func IsTerminal(w io.Writer) bool {
	if u, ok := w.(*Unblocked); ok {
		w = u.to
	}
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// forPeople leaves out what only machines join lines by.
func forPeople(_ []string, a slog.Attr) slog.Attr {
	switch a.Key {
	case "trace", "received", "sent":
		return slog.Attr{}
	case slog.TimeKey:
		a.Value = slog.StringValue(a.Value.Time().Format("15:04:05.000"))
	}
	return a
}

// envelope is the member that makes CloudWatch read metrics out of a log line.
const envelope = "_aws"

const milliseconds = "Milliseconds"

// Measure is one value of a metric; the names are those of settings.
type Measure struct {
	Name  string
	Unit  string // a CloudWatch unit
	Value float64
}

// Count is a number of events.
func Count(name string, n int) Measure { return Measure{name, "Count", float64(n)} }

// Millis is a duration in milliseconds.
func Millis(name string, d time.Duration) Measure {
	return Measure{name, milliseconds, float64(d.Microseconds()) / 1000}
}

// Seconds is a duration in seconds.
func Seconds(name string, d time.Duration) Measure { return Measure{name, "Seconds", d.Seconds()} }

// Line logs one line that is also the datapoints of its measures, in CloudWatch's Embedded Metric Format:
// no API call, no right, and a metric can never disagree with the log. Values are members of the line, their
// dimensions the stack and role that the logger carries.
func Line(ctx context.Context, log *slog.Logger, level slog.Level, msg string, ms []Measure, attrs ...slog.Attr) {
	if _, people := log.Handler().(*slog.TextHandler); people {
		for _, m := range ms {
			if m.Unit == milliseconds {
				attrs = append(attrs, slog.Float64(m.Name, m.Value))
			}
		}
	} else if len(ms) > 0 {
		type metric struct{ Name, Unit string }
		type directive struct {
			Namespace  string
			Dimensions [][]string
			Metrics    []metric
		}
		d := directive{Namespace: settings.MetricNamespace, Dimensions: [][]string{{settings.DimensionStack, settings.DimensionRole}}}
		for _, m := range ms {
			d.Metrics = append(d.Metrics, metric{m.Name, m.Unit})
			attrs = append(attrs, slog.Float64(m.Name, m.Value))
		}
		attrs = append(attrs, slog.Group(envelope,
			slog.Int64("Timestamp", time.Now().UnixMilli()), slog.Any("CloudWatchMetrics", []directive{d})))
	}
	log.LogAttrs(ctx, level, msg, attrs...)
}
