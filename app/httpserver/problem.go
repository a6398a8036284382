package httpserver

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// RequestID is the response header that identifies a request in the log.
const RequestID = "X-Request-Id"

// WriteProblem writes an error response (RFC 9457) with the detail for people. Its type is always about:blank, because
// the status is enough for programs. The request id is that of the header, if
// the caller has set it.
func WriteProblem(w http.ResponseWriter, status int, detail string) {
	h := w.Header()
	body, err := json.Marshal(struct {
		Type      string `json:"type"`
		Title     string `json:"title"`
		Status    int    `json:"status"`
		Detail    string `json:"detail"`
		RequestID string `json:"requestId,omitempty"`
	}{"about:blank", http.StatusText(status), status, detail, h.Get(RequestID)})
	if err != nil {
		panic(err) // strings and a number always marshal
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body))) // so that a client need not wait for the end of the connection
	w.WriteHeader(status)
	_, _ = w.Write(body) // fails only if the client is gone
}
