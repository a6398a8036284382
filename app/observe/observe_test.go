package observe_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"imagery/app/deploy/settings"
	"imagery/app/observe"
)

// TestLineIsAMetric: a JSON line has the Embedded Metric Format, and the dimensions are members of the line.
func TestLineIsAMetric(t *testing.T) {
	var out bytes.Buffer
	log := observe.NewLogger(&out, "", observe.Identity{Stack: "dev", Role: "server", Release: "abc", Instance: "i-1"})
	observe.Line(t.Context(), log, slog.LevelInfo, "request", []observe.Measure{
		observe.Millis(settings.MetricRequestTime, 1500*time.Microsecond), observe.Count(settings.MetricUploads, 1)},
		slog.Int("status", 202))
	var line struct {
		Stack, Role, Release, Instance string
		Status                         int
		RequestMS                      float64 `json:"request_ms"`
		Uploads                        int
		AWS                            struct {
			Timestamp         int64
			CloudWatchMetrics []struct {
				Namespace  string
				Dimensions [][]string
				Metrics    []struct{ Name, Unit string }
			}
		} `json:"_aws"`
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%s: %v", out.String(), err)
	}
	if line.Stack != "dev" || line.Role != "server" || line.Status != 202 || line.RequestMS != 1.5 || line.Uploads != 1 {
		t.Errorf("line: %s", out.String())
	}
	m := line.AWS.CloudWatchMetrics
	if time.Since(time.UnixMilli(line.AWS.Timestamp)).Abs() > time.Minute || len(m) != 1 ||
		m[0].Namespace != settings.MetricNamespace ||
		len(m[0].Dimensions) != 1 || strings.Join(m[0].Dimensions[0], " ") != "stack role" || len(m[0].Metrics) != 2 ||
		m[0].Metrics[0].Name != "request_ms" || m[0].Metrics[0].Unit != "Milliseconds" {
		t.Errorf("envelope: %s", out.String())
	}
}

func TestTextLine(t *testing.T) {
	var out bytes.Buffer
	log := observe.NewLogger(&out, settings.LogText, observe.Identity{Stack: "dev"})
	observe.Line(t.Context(), log, slog.LevelInfo, "job",
		[]observe.Measure{observe.Count("jobs", 1), observe.Millis("job_ms", time.Second)},
		slog.String("image", "7"), slog.String("trace", "t"))
	if got := out.String(); !strings.HasSuffix(got, " INF job image=7 job_ms=1000\n") {
		t.Errorf("lines without time: %q", got)
	}
	t.Setenv(observe.ForceColour, "1")
	observe.NewLogger(&out, settings.LogText, observe.Identity{}).Warn("colour")
	t.Setenv("NO_COLOR", "1")
	observe.NewLogger(&out, settings.LogText, observe.Identity{}).Warn("plain")
	if got := out.String(); strings.Count(got, "\x1b[") == 0 || !strings.HasSuffix(got, " WRN plain\n") {
		t.Errorf("colour without a terminal: %q", got)
	}
}

func TestRelease(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	if got, err := observe.Release(); err != nil || got != hex.EncodeToString(sum[:]) {
		t.Errorf("release %s, %v", got, err)
	}
}

func TestTraceOf(t *testing.T) {
	const w3c = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, c := range []struct{ traceparent, amzn, want string }{
		{w3c, "Root=1-2-3", w3c},
		{"", "Root=1-67891233-abcdef012345678912345678", "Root=1-67891233-abcdef012345678912345678"},
		{"junk", "", ""},
		{"", "spaces are not allowed", ""},
	} {
		h := http.Header{}
		h.Set(observe.TraceparentHeader, c.traceparent)
		h.Set(observe.AmznTraceHeader, c.amzn)
		got := observe.TraceOf(h)
		if c.want != "" && got != c.want || c.want == "" && (len(got) != len(w3c) || got == observe.TraceOf(h)) {
			t.Errorf("%+v: %s", c, got)
		}
	}
}
