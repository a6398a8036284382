package imagery

// Failpoint names a point between two side effects at which a crash must not lose data.
type Failpoint string

// The failpoints, in the order in which an image passes them.
const (
	AfterObject    Failpoint = "after-object"    // upload: the original is stored, the item is not updated yet
	AfterMove      Failpoint = "after-move"      // upload: the item is Uploaded
	BeforeHint     Failpoint = "before-hint"     // the hint is not sent yet
	AfterHint      Failpoint = "after-hint"      // the hint is queued, the client has no response yet
	MidFilter      Failpoint = "mid-filter"      // worker: the photo is being processed
	AfterResult    Failpoint = "after-result"    // worker: the result is stored, the item is not updated yet
	AfterProcessed Failpoint = "after-processed" // worker: the item is Processed
	BeforeAck      Failpoint = "before-ack"      // worker: the message is still queued
)

// Failpoints lists all failpoints.
var Failpoints = []Failpoint{
	AfterObject, AfterMove, BeforeHint, AfterHint, MidFilter, AfterResult, AfterProcessed, BeforeAck,
}

// Hit calls the Hook, if it is set, with the failpoint and the id of the image.
func (s *Service) Hit(p Failpoint, id string) {
	if s.Hook != nil {
		s.Hook(p, id)
	}
}
