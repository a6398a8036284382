// Package doctor looks at a deployment, or at a data folder, from outside: whether it is as the code assumes. Every
// call that it makes is harmless: it reads, or it asks for a change under a condition that never holds. It judges
// what is set up, not how the service does; that is what the alarms are for.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
)

// Level is how bad a finding is.
type Level string

// The levels.
const (
	OK      Level = "ok"      // looked at, and as it should be
	Info    Level = "info"    // worth knowing
	Warning Level = "warning" // works, but somebody should look
	Wrong   Level = "wrong"   // does not work, or will not when it is needed
)

// Finding is one thing that was looked at.
type Finding struct {
	Level Level  `json:"level"`
	Area  string `json:"area"` // what was looked at: table, queue, alarms, ...
	Text  string `json:"text"`
	Means string `json:"means,omitempty"` // what follows from it
	Do    string `json:"do,omitempty"`    // what to type
}

// area collects the findings about one thing.
type area struct {
	name  string
	say   func(error) string
	found []Finding
}

func (a *area) ok(format string, args ...any) { a.add(OK, fmt.Sprintf(format, args...), "", "") }

func (a *area) info(text, means, do string) { a.add(Info, text, means, do) }

func (a *area) warn(text, means, do string) { a.add(Warning, text, means, do) }

func (a *area) wrong(text, means, do string) { a.add(Wrong, text, means, do) }

func (a *area) add(l Level, text, means, do string) {
	a.found = append(a.found, Finding{l, a.name, text, means, do})
}

// failed is what a call says that did not tell what it was asked for.
func (a *area) failed(what string, err error) {
	switch {
	case refused(err):
		a.wrong(what+": "+a.say(err), "whether it is as it should be is not known",
			"give your user the rights in docs/operating.md, or use credentials that have them")
	case unsupported(err):
		a.info(what+": this endpoint cannot tell", "it is no AWS, but an emulator", "")
	default:
		a.wrong(what+": "+a.say(err), "whether it is as it should be is not known", "look at the network, the region and AWS_ENDPOINT_URL, then again: imagery doctor")
	}
}

// callBound is how long one call may take with its repeated attempts.
const callBound = 10 * time.Second

// ask makes a call within its bound.
func ask[In, Out, Options any](ctx context.Context, f func(context.Context, *In, ...func(*Options)) (*Out, error), in *In) (*Out, error) {
	ctx, cancel := context.WithTimeout(ctx, callBound)
	defer cancel()
	return f(ctx, in)
}

// code is the error code of AWS, "" for an error of another kind.
func code(err error) string {
	if api := smithy.APIError(nil); errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

func status(err error) int {
	if answer := (*awshttp.ResponseError)(nil); errors.As(err, &answer) {
		return answer.HTTPStatusCode()
	}
	return 0
}

// refused reports whether rights are missing. The services do not agree on a word.
func refused(err error) bool {
	return slices.Contains([]string{"AccessDenied", "AccessDeniedException", "AuthorizationError", "AuthorizationErrorException",
		"UnauthorizedOperation", "AllAccessDisabled"}, code(err)) || status(err) == http.StatusForbidden && !credentials(err)
}

// credentials reports whether it is not the rights but who asks.
func credentials(err error) bool {
	return slices.Contains([]string{"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException",
		"SignatureDoesNotMatch", "InvalidAccessKeyId", "RequestExpired", "InvalidSignatureException"}, code(err))
}

func unsupported(err error) bool {
	return slices.Contains([]string{"NotImplemented", "UnknownOperationException", "UnsupportedOperation", "InvalidAction"}, code(err)) ||
		status(err) == http.StatusNotImplemented
}

// gone reports whether the thing that was asked about does not exist.
func gone(err error) bool {
	return slices.Contains([]string{"ResourceNotFoundException", "NoSuchBucket", "NotFound", "NotFoundException", "NoSuchKey",
		"QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"}, code(err))
}
