// Package fsck checks the stored data: table, objects and messages for themselves and against each other. It reads them
// with its own code, not through the ports that write them, so that it does not repeat a bug of theirs.
package fsck

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Item is one item of the table.
type Item struct {
	ID           string  `json:"id"`
	Version      int64   `json:"version"`
	State        string  `json:"state"`
	Created      int64   `json:"created"` // ms
	Updated      int64   `json:"updated"` // ms; 0 in items that the original application wrote last
	Hinted       int64   `json:"hinted"`  // ms
	Expires      int64   `json:"expires"` // s
	Pending      string  `json:"pending"`
	RawKey       string  `json:"rawS3Key"`
	ProcessedKey string  `json:"processedS3Key"`
	Warning      string  `json:"warning"` // only a mended photo has one
	Error        string  `json:"error"`
	History      []Event `json:"history"`
}

// Event is one transition in the history of an item.
type Event struct {
	State    string `json:"state"`
	Version  int64  `json:"version"`
	Receives int    `json:"receives"`
}

// Message is one message of the queue or the dead-letter queue.
type Message struct {
	Body []byte
	Sent int64 // ms
	Dead bool
}

// Snapshot is all stored data, read while nothing was written.
type Snapshot struct {
	Items    []Item
	Objects  map[string]string    // lower-case hex SHA-256 of the bytes by key, empty if unknown
	Stored   map[string]time.Time // time of the last put by key
	Messages []Message
	// NoMessages is true if the messages could not be read, so that a missing message is no finding.
	NoMessages bool
}

// Class is the kind of a finding.
type Class string

// The classes of findings.
const (
	Lost       Class = "lost"       // an accepted photo cannot be processed any more, or its result is missing
	Duplicated Class = "duplicated" // one upload has more than one result
	Broken     Class = "broken"     // an item or object that the program cannot have written
	Unhinted   Class = "unhinted"   // an unfinished image without a hint: the reconciler will send one
	Unlisted   Class = "unlisted"   // an unfinished image of the original application that no process of this one has read
	Orphan     Class = "orphan"     // an object to which no item refers, after a crash or a race
)

// Finding is one problem.
type Finding struct {
	Class  Class  `json:"class"`
	Image  string `json:"image,omitempty"`
	Key    string `json:"key,omitempty"`
	Detail string `json:"detail"`
}

func (f Finding) String() string {
	return fmt.Sprintf("%s: image %s object %q: %s", f.Class, f.Image, f.Key, f.Detail)
}

// Kinds of keys. The original application's end with a time instead of a hash.
const (
	original = "original"
	result   = "result"
	legacy   = "legacy"
)

// keyForms are the forms of the keys of each kind, with the id of the image and the hash of the upload.
var keyForms = map[string]*regexp.Regexp{
	original: regexp.MustCompile(`^upload/([0-9a-f-]{36})/([0-9a-f]{64})$`),
	result:   regexp.MustCompile(`^processed/([0-9a-f-]{36})/([0-9a-f]{64})\.(?:jpg|png)$`),
	legacy:   regexp.MustCompile(`^(?:upload|processed)/([0-9a-f-]{36})-\d+(?:\.png)?()$`),
}

// parseKey returns the kind of a key, "" if it is not a key of the program, the id in it, and the hash if it has one.
func parseKey(key string) (kind, id, hash string) {
	for kind, form := range keyForms {
		if m := form.FindStringSubmatch(key); m != nil {
			return kind, m[1], m[2]
		}
	}
	return "", "", ""
}

// transitions maps each state to the possible next ones. It repeats the domain's table on purpose: see the package
// comment.
var transitions = map[string][]string{
	"created":   {"uploaded"},
	"uploaded":  {"processed", "failed"},
	"failed":    {"uploaded", "processed"},
	"processed": {},
}

// Check returns the problems in a snapshot, sorted; none for consistent data.
func Check(s Snapshot) []Finding {
	c := checker{s, map[string]bool{}, map[string]map[string]int{}, map[string]bool{}, nil}
	for key := range s.Objects {
		if kind, id, hash := parseKey(key); kind == result {
			if c.results[id] == nil {
				c.results[id] = map[string]int{}
			}
			c.results[id][hash]++
		}
	}
	for _, m := range s.Messages {
		var hint struct {
			ImageID string `json:"imageId"`
		}
		if json.Unmarshal(m.Body, &hint) == nil && !m.Dead {
			c.hinted[strings.ToLower(hint.ImageID)] = true
		}
	}
	for _, i := range s.Items {
		c.fields(i)
		c.history(i)
		c.objects(i)
	}
	for key := range s.Objects {
		if kind, id, _ := parseKey(key); kind == "" && !c.referenced[key] {
			c.add(Broken, "", key, "not a key of this program")
		} else if !c.referenced[key] {
			c.add(Orphan, id, key, "no item refers to it")
		}
	}
	slices.SortFunc(c.findings, func(a, b Finding) int { return strings.Compare(a.String(), b.String()) })
	return c.findings
}

type checker struct {
	Snapshot
	referenced map[string]bool           // keys that an item refers to
	results    map[string]map[string]int // number of results by image id and hash of the upload
	hinted     map[string]bool           // ids of images with a message in the queue
	findings   []Finding
}

func (c *checker) add(class Class, image, key, format string, args ...any) {
	c.findings = append(c.findings, Finding{class, image, key, fmt.Sprintf(format, args...)})
}

// fields checks that the item has exactly the attributes of its state.
func (c *checker) fields(i Item) {
	if _, ok := transitions[i.State]; !ok {
		c.add(Broken, i.ID, "", "state %q", i.State)
		return
	}
	legacy := i.Updated == 0 // such items lack the attributes that the original application does not write
	if legacy && i.State == "uploaded" {
		c.add(Unlisted, i.ID, "", "the original application wrote it, and the reconciler does not see it")
	}
	for _, rule := range []struct {
		name      string
		applies   bool // to this item
		has, want bool
	}{
		{"rawS3Key", true, i.RawKey != "", i.State != "created"},
		{"processedS3Key", true, i.ProcessedKey != "", i.State == "processed"},
		{"warning", i.Warning != "", true, i.State == "processed"},
		{"error", true, i.Error != "", i.State == "failed"},
		{"pending", !legacy, i.Pending != "", i.State == "uploaded"},
		{"expires", !legacy, i.Expires != 0, i.State == "created"},
		{"a version above 0", true, i.Version > 0, i.State != "created"},
	} {
		if rule.applies && rule.has != rule.want {
			c.add(Broken, i.ID, "", "%s: has %s: %t", i.State, rule.name, rule.has)
		}
	}
	if i.Pending != "" && i.Pending != i.ID[:1] {
		c.add(Broken, i.ID, "", "pending shard %q", i.Pending)
	}
}

// history checks that each transition was allowed and incremented the version, up to the current state.
func (c *checker) history(i Item) {
	if len(i.History) == 0 && i.State != "created" {
		return // written by a release without histories
	}
	before := Event{State: "created"}
	for n, e := range i.History {
		first := n == 0 && e.Version > 1 // older events were dropped, as the length is limited
		if !first && (e.Version != before.Version+1 || !slices.Contains(transitions[before.State], e.State)) {
			c.add(Broken, i.ID, "", "history goes from %s/%d to %s/%d", before.State, before.Version, e.State, e.Version)
		}
		before = e
	}
	if before.State != i.State || before.Version != i.Version {
		c.add(Broken, i.ID, "", "history ends at %s/%d, the item is %s/%d", before.State, before.Version, i.State, i.Version)
	}
}

// objects checks that the objects to which the item refers exist, once, with the right bytes.
func (c *checker) objects(i Item) {
	c.referenced[i.RawKey], c.referenced[i.ProcessedKey] = true, true
	kind, id, hash := parseKey(i.RawKey)
	if i.RawKey != "" && (id != i.ID || kind == result) {
		c.add(Broken, i.ID, i.RawKey, "not a key of this image")
		return
	}
	sum, exists := c.Objects[i.RawKey]
	if exists && sum != "" && hash != "" && sum != hash {
		c.add(Lost, i.ID, i.RawKey, "the original has other bytes: sha256 %s", sum)
	}
	switch i.State {
	case "uploaded":
		if !exists {
			c.add(Lost, i.ID, i.RawKey, "the original of an unfinished image is missing")
		}
		if !c.hinted[i.ID] && !c.NoMessages {
			c.add(Unhinted, i.ID, "", "the queue has no message for it")
		}
	case "processed":
		if _, exists := c.Objects[i.ProcessedKey]; !exists {
			c.add(Lost, i.ID, i.ProcessedKey, "the result is missing")
		}
		kind, id, of := parseKey(i.ProcessedKey)
		if id != i.ID || kind == original || kind == result && hash != "" && of != hash {
			c.add(Broken, i.ID, i.ProcessedKey, "not a result of %s", i.RawKey)
		}
	}
	for upload, n := range c.results[i.ID] {
		if n > 1 {
			c.add(Duplicated, i.ID, "", "%d results of upload %s", n, upload)
		}
	}
}

// HashOf returns the hash of an object in the form of Snapshot.Objects.
func HashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
