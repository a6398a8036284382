package model

import (
	"math/rand/v2"
	"slices"
)

// tape holds the values drawn in a history, by step. The first step is the creation of the world.
type tape [][]uint16

// source draws the choices of a history, from a seed or from a tape. 0 is always the simplest choice, so that a shorter
// tape with smaller numbers is a simpler history.
type source struct {
	rng  *rand.Rand // nil while a tape is replayed
	tape tape       // every draw so far, or the draws to come
	step int        // of a replayed tape: the step it is in
	at   int        // and how many of that step's draws are used
	calm bool       // the world has healed: every draw is 0 and none is recorded
}

func fromSeed(seed uint64) *source {
	return &source{rng: rand.New(rand.NewPCG(seed, 0)), tape: tape{nil}}
}

func fromTape(t tape) *source { return &source{tape: t} }

// next begins a step; it returns false when a replayed tape has no more steps.
func (s *source) next() bool {
	if s.rng != nil {
		s.tape = append(s.tape, nil)
		return true
	}
	s.step, s.at = s.step+1, 0
	return s.step < len(s.tape)
}

// intn returns a number from 0 to n-1.
func (s *source) intn(n int) int {
	if n < 2 || s.calm {
		return 0
	}
	if s.rng == nil {
		draws := s.tape[s.step]
		if s.at++; s.at > len(draws) {
			return 0
		}
		return int(draws[s.at-1]) % n
	}
	v := s.rng.IntN(n)
	last := &s.tape[len(s.tape)-1]
	*last = append(*last, uint16(v))
	return v
}

// chance returns true in num of den cases.
func (s *source) chance(num, den int) bool { return num > 0 && s.intn(den) >= den-num }

// shrink searches for a simpler tape that still fails: it removes steps, fewer and fewer at once, and then sets single
// draws to 0. It gives up after so many tries.
func shrink(t tape, tries int, fails func(tape) bool) tape {
	try := func(calmer tape) bool {
		if tries--; tries < 0 || !fails(calmer) {
			return false
		}
		t = calmer
		return true
	}
	for size := len(t) / 2; size > 0 && tries > 0; {
		shorter := false
		for from := 1; from < len(t) && tries > 0; {
			if try(slices.Concat(t[:from], t[min(from+size, len(t)):])) {
				shorter = true
			} else {
				from += size
			}
		}
		if size > 1 || !shorter {
			size /= 2
		}
	}
	for i := range t {
		for j := 0; i < len(t) && j < len(t[i]) && tries > 0; j++ {
			if t[i][j] == 0 {
				continue
			}
			calmer := slices.Clone(t)
			calmer[i] = slices.Clone(t[i])
			calmer[i][j] = 0
			try(calmer)
		}
	}
	return t
}
