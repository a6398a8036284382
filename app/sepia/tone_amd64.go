package sepia

// tone4AVX2 and tone3AVX2 are apply for n times eight pixels of 4 or 3 bytes, at least one time.
//
//go:noescape
func tone4AVX2(pix *byte, n int, t *toneVectors)

//go:noescape
func tone3AVX2(pix *byte, n int, t *toneVectors)
