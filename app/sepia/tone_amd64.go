package sepia

import "sync/atomic"

// tone4AVX2 and tone3AVX2 are apply for n times eight pixels of 4 or 3 bytes, at least one time.
//
//go:noescape
func tone4AVX2(pix *byte, n int, t *toneVectors)

//go:noescape
func tone3AVX2(pix *byte, n int, t *toneVectors)

// tone420AVX2 is toneQuads for n times eight quads. It stops at colours that are not in the cache, and returns how many
// times it was done. An element is loaded as atomically as by Load: they are aligned.
//
//go:noescape
func tone420AVX2(upper, lower, cb, cr *byte, n int, cache *atomic.Uint32, t *planeVectors) (done int)
