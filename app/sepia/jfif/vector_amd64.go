package jfif

// fdctAVX2 is fdct and quantizer.pair for a single block. It fills all of z.
//
//go:noescape
func fdctAVX2(z *[64]int16, src *byte, stride int, q *quantizer) (set uint64)

// idctAVX2 is packed.idct. It reads b as if every coefficient could be set.
//
//go:noescape
func idctAVX2(b *block, q *dequantizer, dst *byte, stride int)
