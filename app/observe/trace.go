package observe

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"regexp"
)

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
