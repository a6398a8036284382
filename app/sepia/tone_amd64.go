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

// tonePairsAVX2 is tonePairs for n times eight two by two pixels. It stops at colours that are not in the cache like
// tone420AVX2.
//
//go:noescape
func tonePairsAVX2(upper, lower *byte, above, below *uint32, cb, cr *byte, n int, cache *atomic.Uint32,
	t *planeVectors) (done int)

// upsampleAVX2 is upsample for n times eight columns, at least one time. The pointers to samples are to the column on
// the left of the first one. It reads the column on the right of the last one, too.
//
//go:noescape
func upsampleAVX2(dst *uint32, nearCb, nearCr, farCb, farCr *byte, n int, t *planeVectors)
