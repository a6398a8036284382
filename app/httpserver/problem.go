package httpserver

import (
	"encoding/json"
	"net/http"
)

// RequestID is the response header that identifies a request in the log.
const RequestID = "X-Request-Id"

// WriteProblem writes an error response (RFC 9457) with the detail for people. The request id is that of the header, if
// the caller has set it.
func WriteProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct {
		Type      string `json:"type"`
		Title     string `json:"title"`
		Status    int    `json:"status"`
		Detail    string `json:"detail"`
		RequestID string `json:"requestId,omitempty"`
		// fails only if the client is gone
	}{"about:blank", http.StatusText(status), status, detail, w.Header().Get(RequestID)})
}
