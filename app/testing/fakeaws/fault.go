package fakeaws

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"time"
)

// Fault is what happens to one call.
type Fault struct {
	Kind  Kind
	Delay time.Duration // of Late
}

// Kind is a kind of fault.
type Kind int

// The kinds of faults.
const (
	Pass        Kind = iota // none
	ServerError             // 500, nothing happened
	Throttled               // refused for now, in the service's own words
	Denied                  // 403 AccessDenied: what S3 says of a missing key to those who may not list
	Expired                 // 403 of credentials that are no longer valid
	Silence                 // no answer, nothing happened, until the client gives up
	Reset                   // the connection breaks, nothing happened
	AnswerLost              // the connection breaks after the effect
	Twice                   // the call takes effect two times; the client hears of the second
	Late                    // the call arrives later; a sent message becomes visible later instead
)

// Kinds are all faults.
var Kinds = []Kind{ServerError, Throttled, Denied, Expired, Silence, Reset, AnswerLost, Twice, Late}

// String is the name in tables.
func (k Kind) String() string {
	return [...]string{"pass", "500", "throttled", "denied", "expired", "silence", "reset", "answer lost", "twice", "late"}[k]
}

// fail answers with an error of the service.
func fail(w http.ResponseWriter, call Call, k Kind) {
	status, code := http.StatusInternalServerError, "InternalError"
	switch k {
	case Throttled:
		status, code = http.StatusBadRequest, "ThrottlingException"
		switch call.Service {
		case "s3":
			status, code = http.StatusServiceUnavailable, "SlowDown"
		case "sqs":
			status, code = http.StatusForbidden, "com.amazonaws.sqs#RequestThrottled"
		}
	case Denied:
		status, code = http.StatusForbidden, "AccessDenied"
	case Expired:
		status, code = http.StatusForbidden, "ExpiredToken"
	}
	message := "injected: " + k.String()
	if call.Service != "s3" {
		failJSON(w, status, code, message)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprint(w, xml.Header)
	_ = xml.NewEncoder(w).Encode(struct {
		XMLName       xml.Name `xml:"Error"`
		Code, Message string
	}{Code: code, Message: message})
}
