package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	appiam "imagery/app/deploy/iam"
	"imagery/app/testing/fakeaws"
)

// protocol is a protocol of AWS's APIs.
type protocol int

const (
	rest protocol = iota // S3 and S3 Control
	query
	jsonRPC
)

// call is one call of an AWS API.
type call struct {
	caller   string // access key id
	service  string // as in an IAM action
	action   string // IAM action, for example s3:ListBucket
	protocol protocol
	// operation is that of the API, which is another name than the action for some, such as batches; empty for S3.
	operation string
	// parameters are those of the call that name resources, and the names of all others. Members of lists have names as
	// in the Query protocol. Of S3, they are Bucket, Object, ResourceArn, Tags of a new bucket, and the names of headers.
	parameters url.Values
	leadingKey string // hash key of a DynamoDB item
}

// callOf identifies the call of a request with this body.
func callOf(r *http.Request, body []byte) call {
	c := call{parameters: url.Values{}}
	c.caller, c.service = fakeaws.SignerOf(r)
	if c.service == "monitoring" { // the name of CloudWatch in signatures and host names
		c.service = "cloudwatch"
	}
	_, operation, isJSON := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	switch {
	case isJSON:
		c.protocol = jsonRPC
		c.setOperation(operation)
		var members map[string]any
		if json.Unmarshal(body, &members) == nil { // otherwise moto answers with the error
			c.addMembers(members)
		}
		c.leadingKey = fakeaws.CallOf(r, body).ID
	case strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded"):
		c.protocol = query
		if form, err := url.ParseQuery(string(body)); err == nil {
			c.parameters = form
		}
		c.setOperation(c.parameters.Get("Action"))
	default:
		c.service = "s3"
		c.readREST(r, body)
	}
	return c
}

// setOperation sets the operation and its IAM action.
func (c *call) setOperation(operation string) {
	c.operation, c.action = operation, appiam.Action{Service: c.service, Operation: operation}.Name()
}

// addMembers adds the members of a JSON object. Empty objects and lists count as absent.
func (c *call) addMembers(members map[string]any) {
	for name, v := range members {
		switch v := v.(type) {
		case string:
			c.parameters.Set(name, v)
		case []any:
			for i, member := range v {
				text, _ := member.(string)
				c.parameters.Set(name+".member."+strconv.Itoa(i+1), text)
			}
		case map[string]any:
			if len(v) > 0 {
				c.parameters.Set(name, "")
			}
		default:
			c.parameters.Set(name, "")
		}
	}
}

// controlTags is the path of S3 Control's operations on tags; the ARN of a bucket follows.
const controlTags = "/v20180820/tags/"

// readREST reads a call of S3, whose buckets are in the path, or of S3 Control.
func (c *call) readREST(r *http.Request, body []byte) {
	for name := range r.Header {
		c.parameters.Set(name, "")
	}
	kind := "bucket"
	if arn, ok := strings.CutPrefix(r.URL.Path, controlTags); ok {
		kind = "tags"
		c.parameters.Set("ResourceArn", arn)
	} else {
		bucket, object, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		c.parameters.Set("Bucket", bucket)
		if object != "" {
			kind = "object"
			c.parameters.Set("Object", bucket+"/"+object)
		}
	}
	c.action = "s3:" + s3Actions[r.Method+" "+kind]
	for subresource := range r.URL.Query() {
		if a := s3Actions[r.Method+" "+kind+" "+subresource]; a != "" {
			c.action = "s3:" + a
		}
	}
	if kind != "object" { // a body of XML
		c.readXML(body)
	}
}

// readXML reads whether a new bucket has tags, and the keys of DeleteObjects.
func (c *call) readXML(body []byte) {
	deletes := c.action == "s3:DeleteObject"
	d := xml.NewDecoder(bytes.NewReader(body))
	for {
		token, err := d.Token()
		if err != nil {
			return // the end, or moto answers with the error
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		var key string
		switch name := start.Name.Local; {
		case name == "Tags":
			c.parameters.Set(name, "")
		case name == "Key" && deletes && d.DecodeElement(&key, &start) == nil:
			c.parameters.Add("Object", c.parameters.Get("Bucket")+"/"+key)
		case name == "VersionId" && deletes:
			// "If you want to delete a specific version of an object ..., you must have the s3:DeleteObjectVersion permission."
			c.action = "s3:DeleteObjectVersion"
		}
	}
}

// s3Actions maps a method, what the path names, and a parameter of the URL to the action of S3. Names follow "Required
// permissions for Amazon S3 API operations" in the user guide.
var s3Actions = map[string]string{
	"GET bucket": "ListBucket", "HEAD bucket": "ListBucket", "GET bucket versions": "ListBucketVersions",
	"PUT bucket": "CreateBucket", "DELETE bucket": "DeleteBucket", "POST bucket delete": "DeleteObject",
	"GET bucket location": "GetBucketLocation", "GET bucket acl": "GetBucketAcl", "GET bucket cors": "GetBucketCORS",
	"GET bucket website": "GetBucketWebsite", "GET bucket versioning": "GetBucketVersioning",
	"GET bucket accelerate": "GetAccelerateConfiguration", "GET bucket requestPayment": "GetBucketRequestPayment",
	"GET bucket logging": "GetBucketLogging", "GET bucket replication": "GetReplicationConfiguration",
	"GET bucket object-lock": "GetBucketObjectLockConfiguration",
	"GET bucket tagging":     "GetBucketTagging", "PUT bucket tagging": "PutBucketTagging",
	"DELETE bucket tagging":           "PutBucketTagging",
	"GET bucket ownershipControls":    "GetBucketOwnershipControls",
	"PUT bucket ownershipControls":    "PutBucketOwnershipControls",
	"DELETE bucket ownershipControls": "PutBucketOwnershipControls",
	"GET bucket publicAccessBlock":    "GetBucketPublicAccessBlock",
	"PUT bucket publicAccessBlock":    "PutBucketPublicAccessBlock",
	"DELETE bucket publicAccessBlock": "PutBucketPublicAccessBlock",
	"GET bucket policy":               "GetBucketPolicy", "PUT bucket policy": "PutBucketPolicy",
	"DELETE bucket policy": "DeleteBucketPolicy", "GET bucket policyStatus": "GetBucketPolicyStatus",
	"GET bucket encryption": "GetEncryptionConfiguration", "PUT bucket encryption": "PutEncryptionConfiguration",
	"DELETE bucket encryption": "PutEncryptionConfiguration",
	"GET bucket lifecycle":     "GetLifecycleConfiguration", "PUT bucket lifecycle": "PutLifecycleConfiguration",
	"DELETE bucket lifecycle": "PutLifecycleConfiguration",
	"GET object":              "GetObject", "HEAD object": "GetObject", "PUT object": "PutObject",
	"DELETE object": "DeleteObject", "DELETE object versionId": "DeleteObjectVersion",
	"GET object tagging": "GetObjectTagging", "PUT object tagging": "PutObjectTagging",
	"POST object uploads": "PutObject", "POST object uploadId": "PutObject",
	"DELETE object uploadId": "AbortMultipartUpload",
	"GET tags":               "ListTagsForResource", "POST tags": "TagResource", "DELETE tags": "UntagResource",
}
