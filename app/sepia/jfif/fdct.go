package jfif

// The forward transform is the one of Arai, Agui and Nakajima: 5 multiplications for 8 samples. Its outputs are the
// coefficients times factors that the quantizer takes out again.
//
// Two blocks are transformed at once: each word holds a sample of one in its low 32 bits, plus 2^32 times the sample of
// the other. Sums and multiples of such words are those of both lanes as long as the results fit, for a borrow from
// the upper lane is paid back when the lower one is taken out.
//
// Nothing is rounded on the way. The constants are multiples of 1/290, the denominator below 300 that comes closest to
// all four (0.03 %), and so every output but 0 and 4 of a pass is 290 times too large. The largest coefficient, about
// 840 * 8 * 1.387^2 of row and column 1, then takes 30.01 bits.
const (
	fdctScale = 290
	fdctC4    = 205      // cos(4 pi/16) * 290
	fdctS6    = 111      // sin(2 pi/16)
	fdctDiff  = 157      // cos(2 pi/16) - sin(2 pi/16)
	fdctSum   = 379      // cos(2 pi/16) + sin(2 pi/16)
	fdctMean  = 64 * 128 // samples are centred; only the mean notices
)

// fdctFactors are the factors of the algorithm by row and by column, beside 8.
var fdctFactors = [8]float64{1, 1.387039845, 1.306562965, 1.175875602, 1, 0.785694958, 0.541196100, 0.275899379}

// fdct transforms the block whose rows start in a, and the one in b, the rows being stride bytes apart, into w.
func fdct(w *[64]int64, a, b []byte, stride int) {
	for r := range 8 {
		p := (*[8]byte)(a[r*stride:])
		q := (*[8]byte)(b[r*stride:])
		o := w[8*r : 8*r+8 : 8*r+8]
		o[0], o[1], o[2], o[3], o[4], o[5], o[6], o[7] = fdct8(
			int64(p[0])|int64(q[0])<<32, int64(p[1])|int64(q[1])<<32,
			int64(p[2])|int64(q[2])<<32, int64(p[3])|int64(q[3])<<32,
			int64(p[4])|int64(q[4])<<32, int64(p[5])|int64(q[5])<<32,
			int64(p[6])|int64(q[6])<<32, int64(p[7])|int64(q[7])<<32)
	}
	for c := range 8 {
		w[c], w[8+c], w[16+c], w[24+c], w[32+c], w[40+c], w[48+c], w[56+c] = fdct8(
			w[c], w[8+c], w[16+c], w[24+c], w[32+c], w[40+c], w[48+c], w[56+c])
	}
	w[0] -= fdctMean + fdctMean<<32
}

func fdct8(x0, x1, x2, x3, x4, x5, x6, x7 int64) (_, _, _, _, _, _, _, _ int64) {
	x0, x7 = x0+x7, x0-x7
	x1, x6 = x1+x6, x1-x6
	x2, x5 = x2+x5, x2-x5
	x3, x4 = x3+x4, x3-x4

	x0, x3 = x0+x3, x0-x3
	x1, x2 = x1+x2, x1-x2
	even, turned := x3*fdctScale, (x2+x3)*fdctC4

	x4, x5, x6 = x4+x5, x5+x6, x6+x7
	x7 *= fdctScale
	both := (x4 - x6) * fdctS6
	x4, x6 = x4*fdctDiff+both, x6*fdctSum+both
	x5 *= fdctC4
	high, low := x7+x5, x7-x5
	return x0 + x1, high + x6, even + turned, low - x4, x0 - x1, low + x4, even - turned, high - x6
}
