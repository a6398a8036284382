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

// logRequest writes the one line of a request, with its metrics. It says nothing about who asked: no address,
// no user agent, no file name.
func (s *Server) logRequest(c echo.Context, x *exchange) {
	took, r := time.Since(x.began), c.Request()
	attrs := []slog.Attr{
		slog.String("method", r.Method), slog.String("route", c.Path()), slog.Int("status", c.Response().Status),
		slog.String("requestId", x.id), slog.String("trace", x.trace),
		slog.Int64("received", x.body.read), slog.Int64("sent", c.Response().Size),
	}
	if c.Path() == "" { // no route: what was it that they asked for?
		attrs = append(attrs, slog.String("path", r.URL.Path[:min(len(r.URL.Path), 200)]))
	}
	if id, err := imagery.ParseID(c.Param("id")); err == nil {
		attrs = append(attrs, slog.String("imageId", id))
	}
	if x.cause != nil {
		attrs = append(attrs, slog.String("error", x.cause.Error()))
	}
	if x.warning != nil {
		attrs = append(attrs, slog.String("warning", x.warning.Error()))
	}
	level, health := x.level(c)
	var measures []observe.Measure
	if !health {
		measures = x.measures(c.Response().Status, took)
	}
	if x.waited || health {
		attrs = append(attrs, slog.Float64("took_ms", float64(took.Microseconds())/1000))
	}
	observe.Line(r.Context(), s.Log, level, "request", measures, attrs...)
}

// level tells how much a request concerns on-call. Health checks that succeed concern nobody.
func (x *exchange) level(c echo.Context) (l slog.Level, health bool) {
	health = c.Path() == healthzPath || c.Path() == readyzPath
	failed := c.Response().Status >= http.StatusInternalServerError
	switch {
	case health && !failed:
		return slog.LevelDebug, health
	case health, x.refusal == errNoRoom, x.warning != nil:
		return slog.LevelWarn, health
	case failed:
		return slog.LevelError, health
	default:
		return slog.LevelInfo, health
	}
}

// measures are the metrics of a request. Waits are slow by design and say nothing about speed or faults; a
// refusal for want of room is a fault of nobody.
func (x *exchange) measures(status int, took time.Duration) []observe.Measure {
	var ms []observe.Measure
	planned := x.refusal == errNoRoom
	if !x.waited {
		faults := 0
		if status >= http.StatusInternalServerError && !planned {
			faults = 1
		}
		ms = append(ms, observe.Millis(settings.MetricRequestTime, took), observe.Count(settings.MetricRequests, 1),
			observe.Count(settings.MetricServerErrors, faults))
	}
	if x.accepted {
		ms = append(ms, observe.Count(settings.MetricUploads, 1))
	}
	if planned {
		ms = append(ms, observe.Count(settings.MetricPlanned503, 1))
	}
	return ms
}
