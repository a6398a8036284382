package main

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"time"
)

// watched passes an answer on and remembers its status and, if keep is set, its body.
type watched struct {
	http.ResponseWriter
	status int
	keep   bool
	body   bytes.Buffer
}

// WriteHeader implements http.ResponseWriter.
func (w *watched) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *watched) Write(b []byte) (int, error) {
	if w.keep {
		w.body.Write(b)
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController find the writer.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// answered learns from a call that was answered.
func (f *front) answered(c call, body []byte, w *watched, begun time.Time) {
	switch {
	case c.service == "dynamodb":
		f.tableAnswered(c.operation, c.parameters.Get("TableName"), w.status, w.body.String(), time.Since(begun))
	case c.service == "sqs" && w.status == http.StatusOK:
		f.ages.answered(c.operation, body, w.body.Bytes(), time.Now())
	}
}

// tableAnswered adds AWS/DynamoDB of one request: SystemErrors are "the requests to DynamoDB ... that generate an HTTP
// 500 status code", ThrottledRequests those "that exceed the provisioned throughput limits", and throttle events are
// counted for the table. "SuccessfulRequestLatency reports only successful requests", in milliseconds.
func (f *front) tableAnswered(operation, table string, status int, text string, took time.Duration) {
	now := time.Now()
	put := func(name string, value float64, dimensions ...string) {
		f.put(now, "AWS/DynamoDB", name, value, append(dimensions, "TableName", table)...)
	}
	switch {
	case table == "": // of no table, such as ListTables
	case status < 300:
		put("SuccessfulRequestLatency", float64(took.Microseconds())/1000, "Operation", operation)
	case status >= 500:
		put("SystemErrors", 1, "Operation", operation)
	case strings.Contains(text, "ProvisionedThroughputExceeded") || strings.Contains(text, "Throttl"):
		put("ThrottledRequests", 1, "Operation", operation)
		if slices.Contains([]string{"GetItem", "BatchGetItem", "Query", "Scan"}, operation) {
			put("ReadThrottleEvents", 1)
		} else {
			put("WriteThrottleEvents", 1)
		}
	}
}
