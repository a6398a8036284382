package fakeaws

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"time"
)

// Fault is the fault of one call.
type Fault struct {
	Kind  Kind
	Delay time.Duration // of Late
}

// Kind is a kind of fault.
type Kind int

// The kinds of faults.
const (
	None        Kind = iota
	ServerError      // 500, no effect
	Throttled        // throttled, with the service's own error code; no effect
	Denied           // 403 AccessDenied; S3 also answers it for a missing key when the caller may not list the bucket
	Expired          // 403 for expired credentials
	NoResponse       // no effect and no answer until the client gives up
	Reset            // connection reset, no effect
	AnswerLost       // connection reset after the effect
	Twice            // the call takes effect twice; the client gets the second answer
	Late             // the call is delayed; of SendMessage, the message's visibility
)

// Kinds are all faults.
var Kinds = []Kind{ServerError, Throttled, Denied, Expired, NoResponse, Reset, AnswerLost, Twice, Late}

// String returns the name of the kind.
func (k Kind) String() string {
	return [...]string{"none", "500", "throttled", "denied", "expired", "no response", "reset", "answer lost", "twice",
		"late"}[k]
}

// Fail answers a call with an error of its service.
func Fail(w http.ResponseWriter, call Call, k Kind) {
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
