package cloudwatch

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"

	"github.com/aws/smithy-go/encoding/cbor"
)

// cborPath matches the paths of Smithy's RPC v2 protocol with CBOR, which SDKs speak to CloudWatch.
var cborPath = regexp.MustCompile(`^/service/(\w+)/operation/(\w+)$`)

// JSONForCBOR lets next, which speaks JSON only, serve calls of the CBOR protocol.
func JSONForCBOR(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m := cborPath.FindStringSubmatch(r.URL.Path)
		if m == nil {
			next.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client went away
		}
		in := any(map[string]any{})
		if v, err := cbor.Decode(body); err == nil {
			in = jsonOf(v)
		}
		text, err := json.Marshal(in)
		if err != nil { // a number that JSON does not have
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		asJSON := r.Clone(r.Context())
		asJSON.URL.Path, asJSON.Body, asJSON.ContentLength = "/", io.NopCloser(bytes.NewReader(text)), int64(len(text))
		asJSON.Header.Set("X-Amz-Target", m[1]+"."+m[2])
		asJSON.Header.Set("Content-Type", "application/x-amz-json-1.0")
		asJSON.Header.Del("Smithy-Protocol")
		asJSON.Header.Del("Accept")
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, asJSON)
		d := json.NewDecoder(answer.Body)
		d.UseNumber()
		out := any(map[string]any{})
		if err := d.Decode(&out); err != nil && err != io.EOF {
			out = map[string]any{"__type": "InternalFailure", "message": err.Error()}
		}
		w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
		w.Header().Set("Content-Type", "application/cbor")
		w.WriteHeader(answer.Code)
		_, _ = w.Write(cbor.Encode(cborOf("", out))) // fails only if the client went away
	})
}

// jsonOf returns a CBOR value as encoding/json encodes it. Times become seconds.
func jsonOf(v cbor.Value) any {
	switch v := v.(type) {
	case cbor.Map:
		out := map[string]any{}
		for k, member := range v {
			out[k] = jsonOf(member)
		}
		return out
	case cbor.List:
		out := make([]any, len(v))
		for i, member := range v {
			out[i] = jsonOf(member)
		}
		return out
	case *cbor.Tag:
		return jsonOf(v.Value)
	case cbor.NegInt:
		return -int64(v)
	case cbor.Slice:
		return []byte(v)
	case *cbor.Nil, *cbor.Undefined:
		return nil
	}
	return v // numbers, texts and truth values are named types of Go's
}

// timeName matches the names of members that are times.
var timeName = regexp.MustCompile(`(Timestamps?|StartTime|EndTime|StartDate|EndDate|LastModified)$`)

// cborOf returns a member of a JSON object as CBOR.
func cborOf(name string, v any) cbor.Value {
	switch v := v.(type) {
	case map[string]any:
		out := cbor.Map{}
		for k, member := range v {
			if member != nil {
				out[k] = cborOf(k, member)
			}
		}
		return out
	case []any:
		out := make(cbor.List, len(v))
		for i, member := range v {
			out[i] = cborOf(name, member)
		}
		return out
	case string:
		return cbor.String(v)
	case bool:
		return cbor.Bool(v)
	case json.Number:
		f, _ := v.Float64()
		switch {
		case timeName.MatchString(name):
			return &cbor.Tag{ID: 1, Value: cbor.Float64(f)}
		case strings.ContainsAny(v.String(), ".eE") || math.Abs(f) > math.MaxInt32:
			return cbor.Float64(f)
		case f < 0:
			return cbor.NegInt(-f)
		}
		return cbor.Uint(f)
	}
	return &cbor.Nil{}
}
