package fakeaws

import (
	"bytes"
	"cmp"
	"encoding/json"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/truora/minidyn/server"
)

// tables is minidyn with three things put right. It sets attributes but removes none: that is done here after an
// update. Its secondary indexes keep rows that left them, order numbers as strings and lose their place when the row at
// which a page ended is gone: queries of an index are answered here, from a scan. And its reads are always consistent:
// here a read of an item that does not ask for consistency is an error, because the product needs none.
type tables struct {
	minidyn http.Handler
	mu      sync.Mutex // makes one step of each call
}

func newTables() *tables { return &tables{minidyn: server.NewServer()} }

// row is an item or a key in JSON: attribute, type, value.
type row map[string]map[string]any

// id is the row's hash key.
func (r row) id() string { v, _ := r["id"]["S"].(string); return v }

// place returns the position of the row in the pending index.
func (r row) place() (updated int64, id string) {
	n, _ := r["updated"]["N"].(string)
	updated, _ = strconv.ParseInt(n, 10, 64)
	return updated, r.id()
}

func (r row) compare(other row) int {
	at, id := r.place()
	otherAt, otherID := other.place()
	return cmp.Or(cmp.Compare(at, otherAt), cmp.Compare(id, otherID))
}

// tableRequest are the members of a request that matter here.
type tableRequest struct {
	TableName, IndexName                     string
	Key, ExclusiveStartKey                   row
	ConsistentRead                           bool
	Limit                                    int
	KeyConditionExpression, UpdateExpression string
	ExpressionAttributeNames                 map[string]string
	ExpressionAttributeValues                json.RawMessage
}

// ServeHTTP answers with the checksum that SDKs look for.
func (t *tables) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	res := serve(http.HandlerFunc(t.serve), r)
	res.header.Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(res.body)), 10))
	res.copyTo(w)
}

func (t *tables) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is gone
	}
	var in tableRequest
	if err := json.Unmarshal(body, &in); err != nil {
		failJSON(w, http.StatusBadRequest, "SerializationException", err.Error())
		return
	}
	operation := operationOf(r)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case operation == "Query" && in.IndexName != "":
		t.query(w, in)
	case operation == "GetItem" && !in.ConsistentRead:
		failJSON(w, http.StatusBadRequest, "ValidationException", "the emulator has consistent reads of items only")
	case operation == "UpdateItem":
		res := t.do(operation, body)
		if res.status == http.StatusOK {
			t.remove(in)
		}
		res.copyTo(w)
	default:
		t.do(operation, body).copyTo(w)
	}
}

// query answers from a scan with the key condition as its filter: an item without the attributes matches none.
func (t *tables) query(w http.ResponseWriter, in tableRequest) {
	if in.ConsistentRead {
		failJSON(w, http.StatusBadRequest, "ValidationException",
			"Consistent reads are not supported on global secondary indexes")
		return
	}
	scan, _ := json.Marshal(map[string]any{"TableName": in.TableName, "FilterExpression": in.KeyConditionExpression,
		"ExpressionAttributeNames": in.ExpressionAttributeNames, "ExpressionAttributeValues": in.ExpressionAttributeValues})
	res := t.do("Scan", scan)
	if res.status != http.StatusOK {
		res.copyTo(w)
		return
	}
	var found struct{ Items []row }
	if err := json.Unmarshal(res.body, &found); err != nil {
		failJSON(w, http.StatusInternalServerError, "InternalServerError", err.Error())
		return
	}
	slices.SortFunc(found.Items, row.compare)
	answer := map[string]any{}
	items := []row{}
	for _, r := range found.Items {
		if len(in.ExclusiveStartKey) > 0 && r.compare(in.ExclusiveStartKey) <= 0 {
			continue
		}
		r = row{"id": r["id"], "pending": r["pending"], "updated": r["updated"]} // KEYS_ONLY
		if items = append(items, r); len(items) == in.Limit {
			answer["LastEvaluatedKey"] = r // also when nothing follows, as DynamoDB does
			break
		}
	}
	answer["Items"], answer["Count"] = items, len(items)
	replyJSON(w, answer)
}

// removeClause is the part of an update that names what to remove.
var removeClause = regexp.MustCompile(`REMOVE\s+([\w#]+(?:\s*,\s*[\w#]+)*)`)

// remove does what the REMOVE clause of an update says.
func (t *tables) remove(in tableRequest) {
	clause := removeClause.FindStringSubmatch(in.UpdateExpression)
	if clause == nil {
		return
	}
	get, _ := json.Marshal(map[string]any{"TableName": in.TableName, "Key": in.Key})
	var stored struct{ Item map[string]json.RawMessage }
	if json.Unmarshal(t.do("GetItem", get).body, &stored) != nil {
		return
	}
	for name := range strings.SplitSeq(clause[1], ",") {
		name = strings.TrimSpace(name)
		delete(stored.Item, cmp.Or(in.ExpressionAttributeNames[name], name))
	}
	put, _ := json.Marshal(map[string]any{"TableName": in.TableName, "Item": stored.Item})
	t.do("PutItem", put)
}

// do asks minidyn.
func (t *tables) do(operation string, body []byte) response {
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	r.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
	return serve(t.minidyn, r)
}

// response is an answer that is held back.
type response struct {
	status int
	header http.Header
	body   []byte
}

// serve lets a handler answer into memory.
func serve(h http.Handler, r *http.Request) response {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return response{rec.Code, rec.Header(), rec.Body.Bytes()}
}

func (r response) copyTo(w http.ResponseWriter) {
	for name, v := range r.header {
		w.Header()[name] = v
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body) // a client that is gone needs no answer
}

const jsonType = "application/x-amz-json-1.0"

func replyJSON(w http.ResponseWriter, answer any) {
	w.Header().Set("Content-Type", jsonType)
	_ = json.NewEncoder(w).Encode(answer)
}

func failJSON(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": message})
}

// operationOf is the operation of a request in AWS's JSON protocols.
func operationOf(r *http.Request) string {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	return operation
}
