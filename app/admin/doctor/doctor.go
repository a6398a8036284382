// Package doctor checks whether a deployment, or a data folder, is configured as the code expects. It only makes
// harmless calls: reads, and writes under a condition that never holds. It checks configuration; the health of the
// running service is watched by the alarms.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"sync"
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

// area is a part of the configuration with the function that checks it.
type area struct {
	name  string
	check func(context.Context, *report)
	skip  bool
}

// examine checks the areas concurrently. The findings are in the order of the areas.
func examine(ctx context.Context, formatError func(error) string, areas ...area) (findings []Finding) {
	reports := make([]report, len(areas))
	var all sync.WaitGroup
	for i, a := range areas {
		reports[i] = report{area: a.name, formatError: formatError}
		if !a.skip {
			all.Go(func() { a.check(ctx, &reports[i]) })
		}
	}
	all.Wait()
	for _, r := range reports {
		findings = append(findings, r.findings...)
	}
	return findings
}

// report collects the findings of one area.
type report struct {
	area        string
	formatError func(error) string
	findings    []Finding
}

func (r *report) ok(format string, args ...any) { r.add(OK, fmt.Sprintf(format, args...), "", "") }
func (r *report) info(text, means, do string)   { r.add(Info, text, means, do) }
func (r *report) warn(text, means, do string)   { r.add(Warning, text, means, do) }
func (r *report) wrong(text, means, do string)  { r.add(Wrong, text, means, do) }
func (r *report) add(l Level, t, means, do string) {
	r.findings = append(r.findings, Finding{l, r.area, t, means, do})
}

// failed reports a call whose error left the state of its subject unknown. It returns false without an error.
func (r *report) failed(subject string, err error) bool {
	const means = "its state is unknown"
	switch {
	case err == nil:
		return false
	case accessDenied(err):
		r.wrong(subject+": "+r.formatError(err), means, grantPermissions)
	case unsupported(err):
		r.info(subject+": this endpoint does not support the call", "the endpoint is an emulator, not AWS", "")
	default:
		r.wrong(subject+": "+r.formatError(err), means,
			"check the network, the region and AWS_ENDPOINT_URL, then run: imagery doctor")
	}
	return true
}

// Next steps of several findings.
const (
	repair           = "pulumi up --refresh" // restores the configuration that the Pulumi program defines
	grantPermissions = "grant your user the permissions in docs/operating.md, or use credentials that have them"
)

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

// deniedCode matches the error codes for a missing permission; each service has its own.
var deniedCode = regexp.MustCompile(`Denied|[Aa]uthoriz|AllAccessDisabled`)

func accessDenied(err error) bool { return deniedCode.MatchString(errorCode(err)) }

func unsupported(err error) bool {
	response := (*awshttp.ResponseError)(nil)
	return hasCode(err, "NotImplemented", "UnknownOperationException", "UnsupportedOperation", "InvalidAction") ||
		errors.As(err, &response) && response.HTTPStatusCode() == http.StatusNotImplemented
}
