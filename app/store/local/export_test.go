package local

import "time"

// SetPoll changes the longest sleep of Receive between two attempts.
func SetPoll(s *Store, d time.Duration) { s.poll = d }
