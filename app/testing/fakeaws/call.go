package fakeaws

import (
	"encoding/json"
	"net/http"
	"strings"
)

// Call is one operation of a client, as the proxy received it or as the client's SDK was about to send it.
type Call struct {
	Caller     string // access key id that signed it
	Service    string // dynamodb, s3 or sqs
	Operation  string // SDK operation
	Table      string
	Index      string // of a query, if any
	ID         string // hash key of the item
	Bucket     string
	Object     string // key of the object
	QueueURL   string
	Consistent bool // a read that sees every answered write
	// Ordinal counts the calls of the caller to this operation, from 1.
	Ordinal int
}

// members are the input members that identify the subject of a call. HTTP bodies and the SDK's structs use the same
// names, but an attribute value is {"S": v} in the former and {"Value": v} in the latter.
type members struct {
	TableName, IndexName, Bucket, QueueUrl string
	ConsistentRead                         bool
	Key                                    json.RawMessage
	Item                                   itemKey
}

type itemKey struct {
	ID struct{ S, Value string } `json:"id"`
}

func (k itemKey) String() string { return k.ID.S + k.ID.Value }

// withInput fills a call from its input in JSON.
func (c Call) withInput(input []byte) Call {
	var m members
	if json.Unmarshal(input, &m) != nil {
		return c
	}
	c.Table, c.Index, c.Bucket, c.QueueURL, c.Consistent = m.TableName, m.IndexName, m.Bucket, m.QueueUrl, m.ConsistentRead
	c.ID = m.Item.String()
	var key itemKey
	if json.Unmarshal(m.Key, &c.Object) != nil && json.Unmarshal(m.Key, &key) == nil {
		c.ID = key.String()
	}
	return c
}

// callOf identifies the call of a request with this body.
func callOf(r *http.Request, body []byte) Call {
	c := Call{Caller: callerOf(r), Operation: operationOf(r)}
	switch service, _, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); service {
	case "DynamoDB_20120810":
		c.Service = "dynamodb"
		return c.withInput(body)
	case "AmazonSQS":
		c.Service = "sqs"
		return c.withInput(body)
	}
	c.Service = "s3"
	c.Bucket, c.Object, _ = strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	resource := "Object"
	if c.Object == "" {
		resource = "Bucket"
	}
	methods := map[string]string{http.MethodGet: "Get", http.MethodPut: "Put", http.MethodHead: "Head",
		http.MethodDelete: "Delete"}
	c.Operation = methods[r.Method] + resource
	if id := r.URL.Query().Get("x-id"); id != "" { // the SDK names the operation
		c.Operation = id
	} else if r.URL.Query().Get("list-type") == "2" {
		c.Operation = "ListObjectsV2"
	}
	return c
}

// callerOf returns the access key id in the signature of a header or of a presigned URL.
func callerOf(r *http.Request) string {
	credential := r.URL.Query().Get("X-Amz-Credential")
	if _, after, ok := strings.Cut(r.Header.Get("Authorization"), "Credential="); ok {
		credential = after
	}
	caller, _, _ := strings.Cut(credential, "/")
	return caller
}
