// Package fsck checks the promises on what is stored: table, objects and messages against each other, both
// ways. It reads them with its own code, not through the ports that wrote them, so that a bug of the writer is
// not repeated by the checker.
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

// Item is one row of the table, as stored.
type Item struct {
	ID           string  `json:"id"`
	Version      int64   `json:"version"`
	State        string  `json:"state"`
	Created      int64   `json:"created"` // ms
	Updated      int64   `json:"updated"` // ms; 0 in rows that the book's app wrote last
	Hinted       int64   `json:"hinted"`  // ms
	Expires      int64   `json:"expires"` // s
	Pending      string  `json:"pending"`
	RawKey       string  `json:"rawS3Key"`
	ProcessedKey string  `json:"processedS3Key"`
	Error        string  `json:"error"`
	History      []Event `json:"history"`
}

// Event is a transition in an item's history.
type Event struct {
	State    string `json:"state"`
	Version  int64  `json:"version"`
	Receives int    `json:"receives"`
}

// Message is one message of the queue or the dead letters.
type Message struct {
	Body []byte
	Sent int64 // ms
	Dead bool
}

// Snapshot is everything that is stored, read while nothing was written.
type Snapshot struct {
	Items    []Item
	Objects  map[string]string    // key -> lower-case hex SHA-256 of the bytes, empty if it was not read
	Stored   map[string]time.Time // key -> when the object was put last
	Messages []Message
	// NoMessages says that the messages could not be read, so that nothing follows from their absence.
	NoMessages bool
}

// Class says how bad a finding is.
type Class string

// The classes of findings.
const (
	Lost       Class = "lost"       // an accepted photo cannot end any more, or its result is gone
	Duplicated Class = "duplicated" // one upload has more than one result
	Broken     Class = "broken"     // an item or object that no legal history explains
	Unhinted   Class = "unhinted"   // an unfinished image without a message: the reconciler will send one
	Orphan     Class = "orphan"     // an object that no item names: a crash between object and item, or a lost race
)

// Finding is one thing that is not as it should be.
type Finding struct {
	Class  Class  `json:"class"`
	Image  string `json:"image,omitempty"`
	Key    string `json:"key,omitempty"`
	Detail string `json:"detail"`
}

func (f Finding) String() string {
	return fmt.Sprintf("%s: image %s object %q: %s", f.Class, f.Image, f.Key, f.Detail)
}

var (
	rawKey    = regexp.MustCompile(`^upload/([0-9a-f-]{36})/([0-9a-f]{64})$`)
	resultKey = regexp.MustCompile(`^processed/([0-9a-f-]{36})/([0-9a-f]{64})\.(jpg|png)$`)
	// bookKey are the names in the book's app: they end with a time instead of a hash.
	bookKey = regexp.MustCompile(`^(?:upload|processed)/([0-9a-f-]{36})-\d+(?:\.png)?$`)
)

// moves repeats the transition table on purpose: see the package comment.
var moves = map[string]string{"created": "uploaded", "uploaded": "processed failed", "failed": "uploaded processed", "processed": ""}

// Check compares a snapshot with itself. It returns nothing for a healthy one.
func Check(s Snapshot) []Finding {
	c := checker{Snapshot: s, named: map[string]bool{}, results: map[string][]string{}, hinted: map[string]bool{}}
	for key := range s.Objects {
		if m := resultKey.FindStringSubmatch(key); m != nil {
			c.results[m[1]] = append(c.results[m[1]], key)
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
	c.orphans()
	slices.SortFunc(c.found, func(a, b Finding) int { return strings.Compare(a.String(), b.String()) })
	return c.found
}

type checker struct {
	Snapshot
	named   map[string]bool     // keys that an item names
	results map[string][]string // result keys by image
	hinted  map[string]bool     // images with a message in the queue
	found   []Finding
}

func (c *checker) say(class Class, image, key, format string, args ...any) {
	c.found = append(c.found, Finding{class, image, key, fmt.Sprintf(format, args...)})
}

// fields checks that each attribute exists exactly in its states.
func (c *checker) fields(i Item) {
	if _, ok := moves[i.State]; !ok {
		c.say(Broken, i.ID, "", "state %q", i.State)
		return
	}
	ours := i.Updated != 0
	for _, rule := range []struct {
		name  string
		holds bool // for this item
		has   bool
		want  bool
	}{
		{"rawS3Key", true, i.RawKey != "", i.State != "created"},
		{"processedS3Key", true, i.ProcessedKey != "", i.State == "processed"},
		{"error", true, i.Error != "", i.State == "failed"},
		{"pending", ours, i.Pending != "", i.State == "uploaded"},
		{"expires", ours, i.Expires != 0, i.State == "created"},
		{"a version above 0", true, i.Version > 0, i.State != "created"},
	} {
		if rule.holds && rule.has != rule.want {
			c.say(Broken, i.ID, "", "%s: has %s: %t", i.State, rule.name, rule.has)
		}
	}
	if i.Pending != "" && i.Pending != i.ID[:1] {
		c.say(Broken, i.ID, "", "pending shard %q", i.Pending)
	}
}

// history checks that the version grew by one with each legal move, up to the present one.
func (c *checker) history(i Item) {
	if len(i.History) == 0 && i.State != "created" {
		return // a row from before there was a history
	}
	before := Event{State: "created"}
	for n, e := range i.History {
		first := n == 0 && e.Version > 1 // older events fell out of the capped history
		if !first && (e.Version != before.Version+1 || !slices.Contains(strings.Fields(moves[before.State]), e.State)) {
			c.say(Broken, i.ID, "", "history goes from %s/%d to %s/%d", before.State, before.Version, e.State, e.Version)
		}
		before = e
	}
	if before.State != i.State || before.Version != i.Version {
		c.say(Broken, i.ID, "", "history ends at %s/%d, the item is %s/%d", before.State, before.Version, i.State, i.Version)
	}
}

// objects checks that what an item names is there, once, with the right bytes.
func (c *checker) objects(i Item) {
	c.named[i.RawKey], c.named[i.ProcessedKey] = true, true
	hash := "" // of the original, if its key says it
	if m := rawKey.FindStringSubmatch(i.RawKey); m != nil && m[1] == i.ID {
		hash = m[2]
	} else if i.RawKey != "" && !bookKeyOf(i.ID, i.RawKey) {
		c.say(Broken, i.ID, i.RawKey, "not a key of this image")
		return
	}
	sum, there := c.Objects[i.RawKey]
	if there && sum != "" && hash != "" && sum != hash {
		c.say(Lost, i.ID, i.RawKey, "the original has other bytes: sha256 %s", sum)
	}
	switch i.State {
	case "uploaded":
		if !there {
			c.say(Lost, i.ID, i.RawKey, "the original of an unfinished image is gone")
		}
		if !c.hinted[i.ID] && !c.NoMessages {
			c.say(Unhinted, i.ID, "", "no message in the queue speaks of it")
		}
	case "processed":
		if _, there := c.Objects[i.ProcessedKey]; !there {
			c.say(Lost, i.ID, i.ProcessedKey, "the result is gone")
		}
		p := resultKey.FindStringSubmatch(i.ProcessedKey)
		if (p == nil || p[1] != i.ID || hash != "" && p[2] != hash) && !bookKeyOf(i.ID, i.ProcessedKey) {
			c.say(Broken, i.ID, i.ProcessedKey, "not a result of %s", i.RawKey)
		}
	}
	c.once(i)
}

// once checks that no upload has two results.
func (c *checker) once(i Item) {
	byUpload := map[string]int{}
	for _, key := range c.results[i.ID] {
		byUpload[resultKey.FindStringSubmatch(key)[2]]++
	}
	for hash, n := range byUpload {
		if n > 1 {
			c.say(Duplicated, i.ID, "", "%d results of upload %s", n, hash)
		}
	}
}

func bookKeyOf(id, key string) bool {
	m := bookKey.FindStringSubmatch(key)
	return m != nil && m[1] == id
}

// orphans lists objects that nobody names, and those whose name tells nothing.
func (c *checker) orphans() {
	for key := range c.Objects {
		if c.named[key] {
			continue
		}
		for _, form := range []*regexp.Regexp{rawKey, resultKey, bookKey, nil} {
			if form == nil {
				c.say(Broken, "", key, "not a key of ours")
			} else if m := form.FindStringSubmatch(key); m != nil {
				c.say(Orphan, m[1], key, "no item names it")
				break
			}
		}
	}
}

// HashOf is the form of Snapshot.Objects' values.
func HashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
