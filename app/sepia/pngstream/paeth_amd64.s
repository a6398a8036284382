#include "textflag.h"

// func paethAVX2(row, above *byte, pixels, distance int)
//
// X0 has the pixel to the left in 16-bit lanes, X1 the corner, X2 the pixel above, X3 the filtered pixel.
TEXT ·paethAVX2(SB), NOSPLIT, $0-32
	MOVQ  row+0(FP), SI
	MOVQ  above+8(FP), DI
	MOVQ  pixels+16(FP), CX
	MOVQ  distance+24(FP), DX
	VPXOR X0, X0, X0
	VPXOR X1, X1, X1
	VMOVD (SI), X3

loop:
	VMOVD      (DI), X2
	VPMOVZXBW  X2, X2
	VPMOVZXBW  X3, X4
	VMOVD      (SI)(DX*1), X3 // before the fourth byte of this pixel overwrites it
	VPADDW     X1, X1, X5
	VPADDW     X1, X5, X5
	VPSUBW     X2, X5, X5
	VPSUBW     X0, X5, X5     // threshold = 3*corner - up - left
	VPMINSW    X0, X2, X6
	VPMAXSW    X0, X2, X7
	VPCMPGTW   X5, X7, X8
	VPCMPGTW   X6, X5, X9
	VPBLENDVB  X8, X1, X6, X0 // high > threshold: corner, else low
	VPBLENDVB  X9, X0, X7, X0 // threshold > low: that, else high
	VPADDB     X4, X0, X0
	VMOVDQA    X2, X1
	VPACKUSWB  X0, X0, X5
	VMOVD      X5, (SI)
	ADDQ       DX, SI
	ADDQ       DX, DI
	DECQ       CX
	JNZ        loop
	RET
