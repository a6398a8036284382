package local

import "time"

// SetPoll changes how long Receive trusts silence.
func SetPoll(s *Store, d time.Duration) { s.poll = d }
