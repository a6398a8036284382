// Package observe provides the structured log of a process, with CloudWatch metrics in its lines, the identity of the
// running binary, and trace ids.
package observe

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"sync"
	"time"

	"github.com/lmittmann/tint"

	"imagery/app/deploy/settings"
)

// Identity has the attributes of every JSON line of a process.
type Identity struct {
	Stack    string
	Role     string
	Release  string // see Release
	Instance string // EC2 instance id, or the local process name
}

// NewLogger returns a logger that writes one line per record: JSON with the identity, or text for people, which omits
// the identity and the metrics. The format is settings.LogText or settings.LogJSON; see TextLog for an empty one.
func NewLogger(w io.Writer, format string, id Identity) *slog.Logger {
	if TextLog(format, w) {
		o := tint.Options{TimeFormat: time.TimeOnly, NoColor: !Colour(w), ReplaceAttr: forPeople}
		return slog.New(tint.NewHandler(w, &o))
	}
	return slog.New(slog.NewJSONHandler(w, nil)).With(
		settings.DimensionStack, id.Stack, settings.DimensionRole, id.Role, "release", id.Release, "instance", id.Instance)
}

// TextLog reports whether NewLogger writes text: if the format says so, or if it is empty and w is a terminal.
func TextLog(format string, w io.Writer) bool {
	return format == settings.LogText || format == "" && IsTerminal(w)
}

// ForceColour is the variable by which the fleet makes its children, whose output is a pipe, use colours.
const ForceColour = "CLICOLOR_FORCE"

// Colour reports whether text on w has colours: on a terminal or if ForceColour is set, unless NO_COLOR is set.
func Colour(w io.Writer) bool {
	return os.Getenv("NO_COLOR") == "" && (IsTerminal(w) || os.Getenv(ForceColour) != "")
}

// IsTerminal reports whether w is a terminal, or wraps one.
func IsTerminal(w io.Writer) bool {
	if u, ok := w.(interface{ Unwrap() io.Writer }); ok {
		return IsTerminal(u.Unwrap())
	}
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// forPeople removes the attributes that are only useful to programs.
func forPeople(_ []string, a slog.Attr) slog.Attr {
	switch a.Key {
	case "trace", "received", "sent":
		return slog.Attr{}
	}
	return a
}

// envelope is the member from which CloudWatch extracts metrics (Embedded Metric Format).
const envelope = "_aws"

const milliseconds = "Milliseconds"

// Measure is one value of a metric. Names are constants in package settings.
type Measure struct {
	Name  string
	Unit  string // a CloudWatch unit
	Value float64
}

// Count returns the measure of a number of events.
func Count(name string, n int) Measure { return Measure{name, "Count", float64(n)} }

// Millis returns the measure of a duration in milliseconds.
func Millis(name string, d time.Duration) Measure {
	return Measure{name, milliseconds, float64(d.Microseconds()) / 1000}
}

// Seconds returns the measure of a duration in seconds.
func Seconds(name string, d time.Duration) Measure { return Measure{name, "Seconds", d.Seconds()} }

// Line logs one line with measures. In JSON it has CloudWatch's Embedded Metric Format: the values are members of the
// line, and the dimensions are the stack and role of the logger. So metrics need no API call and no permission, and
// always agree with the log. In text the line has only the durations in milliseconds.
func Line(ctx context.Context, log *slog.Logger, level slog.Level, msg string, ms []Measure, attrs ...slog.Attr) {
	type metric struct{ Name, Unit string }
	type directive struct {
		Namespace  string
		Dimensions [][]string
		Metrics    []metric
	}
	d := directive{Namespace: settings.MetricNamespace,
		Dimensions: [][]string{{settings.DimensionStack, settings.DimensionRole}}}
	_, isJSON := log.Handler().(*slog.JSONHandler)
	for _, m := range ms {
		if isJSON || m.Unit == milliseconds {
			d.Metrics = append(d.Metrics, metric{m.Name, m.Unit})
			attrs = append(attrs, slog.Float64(m.Name, m.Value))
		}
	}
	if isJSON && len(ms) > 0 {
		attrs = append(attrs, slog.Group(envelope,
			slog.Int64("Timestamp", time.Now().UnixMilli()), slog.Any("CloudWatchMetrics", []directive{d})))
	}
	log.LogAttrs(ctx, level, msg, attrs...)
}

// Release returns the lower-case hex SHA-256 of the running binary, which is the answer to /version. It is computed at
// the first call. On Linux it is read through /proc/self/exe, which stays correct if the file was replaced meanwhile.
var Release = sync.OnceValues(func() (string, error) {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		var path string
		if path, err = os.Executable(); err == nil {
			f, err = os.Open(path)
		}
	}
	if err != nil {
		return "", fmt.Errorf("open the running binary: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("hash the running binary: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
})

// ShortRelease returns the first 12 digits of a release, for logs and for the history of an image.
func ShortRelease(release string) string { return release[:min(12, len(release))] }

// The request headers with a trace id: that of the W3C, and that of AWS load balancers.
const (
	TraceparentHeader = "traceparent"
	AmznTraceHeader   = "X-Amzn-Trace-Id"
)

var (
	traceparent = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)
	amznTrace   = regexp.MustCompile(`^[A-Za-z0-9=;:._-]{1,200}$`)
)

// TraceOf returns the trace id from the headers of a request, or a new one in the form of
// https://www.w3.org/TR/trace-context/ if there is no valid one. The hint has it too, so that an upload and its
// processing share it.
func TraceOf(h http.Header) string {
	if v := h.Get(TraceparentHeader); traceparent.MatchString(v) {
		return v
	}
	if v := h.Get(AmznTraceHeader); amznTrace.MatchString(v) {
		return v
	}
	var b [24]byte
	rand.Read(b[:])
	return "00-" + hex.EncodeToString(b[:16]) + "-" + hex.EncodeToString(b[16:]) + "-01"
}
