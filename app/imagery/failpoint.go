package imagery

// Point names a place between two effects where a crash must lose nothing.
type Point string

// The commit points, in the order in which an image passes them.
const (
	AfterObject    Point = "after-object"    // upload: the original is stored, the item does not know
	AfterMove      Point = "after-move"      // upload: the item is Uploaded
	BeforeHint     Point = "before-hint"     // nobody was told yet
	AfterHint      Point = "after-hint"      // the hint is queued, the client was not answered
	MidFilter      Point = "mid-filter"      // worker: the photo is being processed
	AfterResult    Point = "after-result"    // worker: the result is stored, the item does not know
	AfterProcessed Point = "after-processed" // worker: the item says so
	BeforeAck      Point = "before-ack"      // worker: the message is still queued
)

// Points lists all commit points.
var Points = []Point{AfterObject, AfterMove, BeforeHint, AfterHint, MidFilter, AfterResult, AfterProcessed, BeforeAck}

// Pass tells the Hook, if there is one, that the image passes the point. Without a hook it costs a nil check.
func (s *Service) Pass(p Point, id string) {
	if s.Hook != nil {
		s.Hook(p, id)
	}
}
