package server

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"imagery/app/deploy/settings"
	"imagery/app/imagery"
	"imagery/app/observe"
)

// logRequest writes the log line of a request, with its metrics. For privacy it contains no client address, user agent
// or file name.
func (s *Server) logRequest(c echo.Context, rs *requestState) {
	took, r, status := time.Since(rs.began), c.Request(), c.Response().Status
	attrs := []slog.Attr{
		slog.String("method", r.Method), slog.String("route", c.Path()), slog.Int("status", status),
		slog.String("requestId", rs.id), slog.String("trace", rs.trace),
		slog.Int64("received", rs.body.read), slog.Int64("sent", c.Response().Size),
	}
	if c.Path() == "" { // no route matched
		attrs = append(attrs, slog.String("path", r.URL.Path[:min(len(r.URL.Path), 200)]))
	}
	if id, err := imagery.ParseID(c.Param("id")); err == nil {
		attrs = append(attrs, slog.String("imageId", id))
	}
	if rs.cause != nil {
		attrs = append(attrs, slog.String("error", rs.cause.Error()))
	}
	if rs.warning != nil {
		attrs = append(attrs, slog.String("warning", rs.warning.Error()))
	}
	health := c.Path() == healthzPath || c.Path() == readyzPath
	failed := status >= http.StatusInternalServerError
	level := slog.LevelInfo
	switch {
	case health && !failed:
		level = slog.LevelDebug
	case health, rs.httpErr == errPoolExhausted, rs.warning != nil:
		level = slog.LevelWarn
	case failed:
		level = slog.LevelError
	}
	var measures []observe.Measure
	if !health {
		measures = rs.measures(failed, took)
	}
	if rs.longPoll || health {
		attrs = append(attrs, slog.Float64("took_ms", float64(took.Microseconds())/1000))
	}
	observe.Line(r.Context(), s.Log, level, "request", measures, attrs...)
}

// measures returns the metrics of a request. Long polls are slow by design, so they count for neither latency nor
// errors. A 503 because of an exhausted pool is load shedding, not a server error.
func (rs *requestState) measures(failed bool, took time.Duration) (ms []observe.Measure) {
	shed := rs.httpErr == errPoolExhausted
	if !rs.longPoll {
		serverErrors := 0
		if failed && !shed {
			serverErrors = 1
		}
		ms = append(ms, observe.Millis(settings.MetricRequestTime, took), observe.Count(settings.MetricRequests, 1),
			observe.Count(settings.MetricServerErrors, serverErrors))
	}
	if rs.accepted {
		ms = append(ms, observe.Count(settings.MetricUploads, 1))
	}
	if shed {
		ms = append(ms, observe.Count(settings.MetricPlanned503, 1))
	}
	return ms
}
