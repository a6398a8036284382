package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"

	"imagery/infra/testing/authz"
)

// apiError is an error in the XML of AWS's APIs.
type apiError struct{ Code, Message string }

// refuse answers a call that is not allowed, in its protocol. Another error than a denial is an internal one.
func refuse(w http.ResponseWriter, c call, err error) {
	e, status := errorOf(c, err)
	kind, body := "text/xml", []byte(nil)
	switch c.protocol {
	case jsonRPC:
		kind = "application/x-amz-json-1.0"
		body, _ = json.Marshal(map[string]string{"__type": e.Code, "message": e.Message}) // strings can be encoded
	default:
		body = errorXML(c, e)
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_, _ = w.Write(body) // fails only if the client went away
}

// errorXML encodes an error. S3 has an element Error, S3 Control and the Query protocol have one around it, and EC2 has
// two others.
func errorXML(c call, e apiError) []byte {
	text, _ := xml.Marshal(struct {
		XMLName xml.Name `xml:"Error"`
		apiError
	}{apiError: e}) // strings can be encoded
	switch {
	case c.service == "ec2":
		return fmt.Appendf(nil, "<Response><Errors>%s</Errors></Response>", text)
	case c.protocol == rest && !c.control():
		return text
	}
	return fmt.Appendf(nil, "<ErrorResponse>%s</ErrorResponse>", text)
}

// errorOf returns the error with which the service of a call denies it, and the status.
func errorOf(c call, err error) (apiError, int) {
	message := "User: " + user(c.caller) + " is " + err.Error()
	switch denied := (*authz.DeniedError)(nil); {
	case !errors.As(err, &denied):
		return apiError{"InternalFailure", err.Error()}, http.StatusInternalServerError
	case c.service == "ec2": // "Client.UnauthorizedOperation"
		return apiError{"UnauthorizedOperation", "You are not authorized to perform this operation. " + message},
			http.StatusForbidden
	case c.service == "sns": // "Indicates that the user has been denied access to the requested resource." 403
		return apiError{"AuthorizationError", message}, http.StatusForbidden
	case c.protocol == jsonRPC: // "You do not have sufficient access to perform this action." 400
		return apiError{"AccessDeniedException", message}, http.StatusBadRequest
	}
	return apiError{"AccessDenied", message}, http.StatusForbidden
}

// control reports whether a call is one of S3 Control.
func (c call) control() bool {
	return c.service == "s3" && c.parameters.Has("ResourceArn")
}
