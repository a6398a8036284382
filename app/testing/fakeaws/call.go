package fakeaws

import (
	"encoding/json"
	"net/http"
	"strings"
)

// Call is one operation of a client, as the proxy received it.
type Call struct {
	Caller    string // access key id that signed it
	Service   string // dynamodb, s3 or sqs
	Operation string // SDK operation
	Table     string
	Index     string // of a query, if any
	ID        string // hash key of the item
	Bucket    string
	Object    string // key of the object
	QueueURL  string
	// Ordinal counts the calls of the caller to this operation, from 1.
	Ordinal int
}

// members are the members of a JSON request that identify the subject of a call.
type members struct {
	TableName, IndexName, QueueUrl string
	Key, Item                      row
}

// CallOf identifies the call of a request with this body.
func CallOf(r *http.Request, body []byte) Call {
	c := Call{Operation: operationOf(r)}
	c.Caller, _ = SignerOf(r)
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		c.Service = "dynamodb"
		if strings.HasPrefix(target, "AmazonSQS.") {
			c.Service = "sqs"
		}
		var m members
		_ = json.Unmarshal(body, &m) // the emulator answers with the error
		c.Table, c.Index, c.QueueURL = m.TableName, m.IndexName, m.QueueUrl
		c.ID = m.Key.id() + m.Item.id() // one of them is empty
		return c
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

// SignerOf returns the access key id and the service in the signature of a header or of a presigned URL.
func SignerOf(r *http.Request) (caller, service string) {
	credential := r.URL.Query().Get("X-Amz-Credential")
	if _, after, ok := strings.Cut(r.Header.Get("Authorization"), "Credential="); ok {
		credential = after
	}
	parts := append(strings.Split(credential, "/"), make([]string, 4)...) // id/date/region/service/aws4_request
	return parts[0], parts[3]
}
