package observe

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"regexp"
)

// The headers that carry a trace to us: the W3C's, and the one that AWS load balancers add.
const (
	TraceparentHeader = "traceparent"
	AmznTraceHeader   = "X-Amzn-Trace-Id"
)

var (
	traceparent = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)
	amznTrace   = regexp.MustCompile(`^[A-Za-z0-9=;:._-]{1,200}$`)
)

// TraceOf is the trace of a request: what the caller sent, if it is well-formed, or a new one in the form of
// https://www.w3.org/TR/trace-context/. It travels with the hint, so that an upload and its processing share it.
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
