package imagery

// Failpoint names a place between two effects where a crash must lose nothing.
type Failpoint string

// The commit points, in the order in which an image passes them.
const (
	AfterObject    Failpoint = "after-object"    // upload: the original is stored, the item does not know
	AfterMove      Failpoint = "after-move"      // upload: the item is Uploaded
	BeforeHint     Failpoint = "before-hint"     // nobody was told yet
	AfterHint      Failpoint = "after-hint"      // the hint is queued, the client was not answered
	MidFilter      Failpoint = "mid-filter"      // worker: the photo is being processed
	AfterResult    Failpoint = "after-result"    // worker: the result is stored, the item does not know
	AfterProcessed Failpoint = "after-processed" // worker: the item says so
	BeforeAck      Failpoint = "before-ack"      // worker: the message is still queued
)

// Failpoints lists all commit points.
var Failpoints = []Failpoint{AfterObject, AfterMove, BeforeHint, AfterHint, MidFilter, AfterResult, AfterProcessed, BeforeAck}

// Hit tells the Hook, if there is one, that the image passes the point. Without a hook it costs a nil check.
func (s *Service) Hit(p Failpoint, id string) {
	if s.Hook != nil {
		s.Hook(p, id)
	}
}
