package imagery

import "time"

// Item holds the attributes of an Image as catalogs store them, under the names in its tags. Absent and zero attributes
// mean the same, and zero ones are not stored: an index key must not be empty, and a table deletes items that have an
// expiry.
type Item struct {
	ID           string  `json:"id"`
	Version      int64   `json:"version"`
	State        State   `json:"state"`
	Created      int64   `json:"created,omitempty"` // ms, as updated and hinted
	Updated      int64   `json:"updated,omitempty"`
	Hinted       int64   `json:"hinted,omitempty"`
	Expires      int64   `json:"expires,omitempty"` // s
	RawKey       string  `json:"rawS3Key,omitempty"`
	ProcessedKey string  `json:"processedS3Key,omitempty"`
	Error        string  `json:"error,omitempty"`
	Pending      string  `json:"pending,omitempty"`
	History      []Event `json:"history,omitempty"`
}

// MovedAttributes lists the attributes that a transition sets or removes: all of Item except id and created.
var MovedAttributes = []string{
	"version", "state", "updated", "hinted", "expires", "rawS3Key", "processedS3Key", "error", "pending", "history",
}

// Item returns the stored form of the image.
func (i Image) Item() Item {
	return Item{ID: i.ID, Version: i.Version, State: i.State, Created: Millis(i.Created), Updated: Millis(i.Updated),
		Hinted: Millis(i.Hinted), Expires: max(i.Expires.Unix(), 0), RawKey: i.RawKey, ProcessedKey: i.ProcessedKey,
		Error: i.Error, Pending: i.PendingShard(), History: i.History}
}

// Image returns the image of an item of any release, or of the original application. The latter stores no time of the
// last transition; Image uses the time of creation instead.
func (i Item) Image() Image {
	img := Image{ID: i.ID, Version: i.Version, State: i.State, Created: timeOf(i.Created), Updated: timeOf(i.Updated),
		Hinted: timeOf(i.Hinted), Expires: timeOf(1000 * i.Expires), RawKey: i.RawKey, ProcessedKey: i.ProcessedKey,
		Error: i.Error, History: i.History}
	if img.Updated.IsZero() {
		img.Updated = img.Created
	}
	return img
}

// Millis returns a time in milliseconds since 1970, and 0 for the zero time.
func Millis(t time.Time) int64 { return max(t.UnixMilli(), 0) }

func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
