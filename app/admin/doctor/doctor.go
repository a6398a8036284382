// Package doctor checks whether a deployment, or a data folder, is configured as the code expects. It only makes
// harmless calls: reads, and writes under a condition that never holds. It checks configuration; the health of the
// running service is watched by the alarms.
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

// Level is the severity of a finding.
type Level string

// The levels.
const (
	OK      Level = "ok"      // checked, no problem
	Info    Level = "info"    // for information
	Warning Level = "warning" // works, but should be checked by a person
	Wrong   Level = "wrong"   // does not work, or will fail when it is needed
)

// Finding is the result of one check.
type Finding struct {
	Level Level  `json:"level"`
	Area  string `json:"area"` // table, queue, alarms, ...
	Text  string `json:"text"`
	Means string `json:"means,omitempty"` // the consequence
	Do    string `json:"do,omitempty"`    // the next step: usually a command
}

// report collects the findings of one area.
type report struct {
	area        string
	formatError func(error) string
	findings    []Finding
}

func (r *report) ok(format string, args ...any) { r.add(OK, fmt.Sprintf(format, args...), "", "") }

func (r *report) info(text, means, do string) { r.add(Info, text, means, do) }

func (r *report) warn(text, means, do string) { r.add(Warning, text, means, do) }

func (r *report) wrong(text, means, do string) { r.add(Wrong, text, means, do) }

func (r *report) add(l Level, text, means, do string) {
	r.findings = append(r.findings, Finding{l, r.area, text, means, do})
}

// failed reports a call whose error left the state of its subject unknown.
func (r *report) failed(subject string, err error) {
	const means = "its state is unknown"
	text := subject + ": " + r.formatError(err)
	switch {
	case accessDenied(err):
		r.wrong(text, means, "grant your user the permissions in docs/operating.md, or use credentials that have them")
	case unsupported(err):
		r.info(subject+": this endpoint does not support the call", "the endpoint is an emulator, not AWS", "")
	default:
		r.wrong(text, means, "check the network, the region and AWS_ENDPOINT_URL, then run: imagery doctor")
	}
}

// callTimeout limits one call with its retries.
const callTimeout = 10 * time.Second

// call calls one operation of the SDK with callTimeout.
func call[In, Out, Options any](
	ctx context.Context, operation func(context.Context, *In, ...func(*Options)) (*Out, error), in *In,
) (*Out, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return operation(ctx, in)
}

// errorCode returns the error code of AWS, "" for an error of another kind.
func errorCode(err error) string {
	if api := smithy.APIError(nil); errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

func hasCode(err error, codes ...string) bool { return slices.Contains(codes, errorCode(err)) }

func hasStatus(err error, status int) bool {
	response := (*awshttp.ResponseError)(nil)
	return errors.As(err, &response) && response.HTTPStatusCode() == status
}

// accessDenied reports whether a permission is missing. Each service has its own error code for that.
func accessDenied(err error) bool {
	return hasCode(err, "AccessDenied", "AccessDeniedException", "AuthorizationError", "AuthorizationErrorException",
		"UnauthorizedOperation", "AllAccessDisabled") || hasStatus(err, http.StatusForbidden) && !badCredentials(err)
}

func badCredentials(err error) bool {
	return hasCode(err, "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException",
		"SignatureDoesNotMatch", "InvalidAccessKeyId", "RequestExpired", "InvalidSignatureException")
}

func unsupported(err error) bool {
	return hasCode(err, "NotImplemented", "UnknownOperationException", "UnsupportedOperation", "InvalidAction") ||
		hasStatus(err, http.StatusNotImplemented)
}

func notFound(err error) bool {
	return hasCode(err, "ResourceNotFoundException", "NoSuchBucket", "NotFound", "NotFoundException", "NoSuchKey",
		"QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue")
}
