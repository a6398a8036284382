#include "go_asm.h"
#include "textflag.h"
#include "transform_amd64.h"

DATA forward<>+0(SB)/4, $const_fdctScale
DATA forward<>+4(SB)/4, $const_fdctC4
DATA forward<>+8(SB)/4, $const_fdctS6
DATA forward<>+12(SB)/4, $const_fdctDiff
DATA forward<>+16(SB)/4, $const_fdctSum
GLOBL forward<>(SB), RODATA|NOPTR, $20

// What is added to the first coefficient only.
DATA forwardMean<>+0(SB)/8, $const_fdctMean
DATA forwardMean<>+8(SB)/8, $0
DATA forwardMean<>+16(SB)/8, $0
DATA forwardMean<>+24(SB)/8, $0
GLOBL forwardMean<>(SB), RODATA|NOPTR, $32

// FDCT8 is fdct8 with the constants in Y11 to Y15. The results are in x0, x7, x3, x4, x1, x5, x2 and x6.
#define FDCT8(x0, x1, x2, x3, x4, x5, x6, x7, t) \
	BUTTERFLY(x0, x7, t)   \
	BUTTERFLY(x1, x6, t)   \
	BUTTERFLY(x2, x5, t)   \
	BUTTERFLY(x3, x4, t)   \
	BUTTERFLY(x0, x3, t)   \
	BUTTERFLY(x1, x2, t)   \
	VPADDD  x3, x2, x2     \
	VPMULLD Y12, x2, x2    \
	VPMULLD Y11, x3, x3    \
	VPADDD  x5, x4, x4     \
	VPADDD  x6, x5, x5     \
	VPADDD  x7, x6, x6     \
	VPMULLD Y11, x7, x7    \
	VPSUBD  x6, x4, t      \
	VPMULLD Y13, t, t      \
	VPMULLD Y14, x4, x4    \
	VPADDD  t, x4, x4      \
	VPMULLD Y15, x6, x6    \
	VPADDD  t, x6, x6      \
	VPMULLD Y12, x5, x5    \
	BUTTERFLY(x7, x5, t)   \
	BUTTERFLY(x0, x1, t)   \
	BUTTERFLY(x7, x6, t)   \
	BUTTERFLY(x3, x2, t)   \
	BUTTERFLY(x5, x4, t)

// QUANTIZE divides column u of the coefficients, by the factors at CX. The products of the even and of the odd lanes
// have 64 bits, of which the lower half cannot change the rounded quotient.
#define QUANTIZE(x, u) \
	VPSRLQ   $32, x, Y8                         \
	VPMULDQ  (quantizer_scale+32*u)(CX), x, x   \
	VPMULDQ  (quantizer_scale+32*u+4)(CX), Y8, Y8 \
	VPSRLQ   $32, x, x                          \
	VPBLENDD $0xaa, Y8, x, x                    \
	VPADDD   (quantizer_half+32*u)(CX), x, x    \
	VPSRAVD  (quantizer_shift+32*u)(CX), x, x

// PAIR packs two columns into the halves of x as 16-bit lanes.
#define PAIR(y, x) \
	VPACKSSDW y, x, x     \
	VPERMQ    $0xd8, x, x

// FIRST sets out to the lanes of x that shuffle i selects; MORE adds those.
#define FIRST(x, i, out) \
	VPSHUFB (32*i)(R8), x, out
#define MORE(x, i, out) \
	VPSHUFB (32*i)(R8), x, Y12 \
	VPOR    Y12, out, out

// func fdctAVX2(z *[64]int16, src *byte, stride int, q *quantizer) (set uint64)
TEXT ·fdctAVX2(SB), NOSPLIT, $0-40
	MOVQ z+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ stride+16(FP), DX
	MOVQ q+24(FP), CX

	VPBROADCASTD forward<>+0(SB), Y11
	VPBROADCASTD forward<>+4(SB), Y12
	VPBROADCASTD forward<>+8(SB), Y13
	VPBROADCASTD forward<>+12(SB), Y14
	VPBROADCASTD forward<>+16(SB), Y15

	LEAQ      (DX)(DX*2), BX
	LEAQ      (SI)(DX*4), R9
	VPMOVZXBD (SI), Y0
	VPMOVZXBD (SI)(DX*1), Y1
	VPMOVZXBD (SI)(DX*2), Y2
	VPMOVZXBD (SI)(BX*1), Y3
	VPMOVZXBD (R9), Y4
	VPMOVZXBD (R9)(DX*1), Y5
	VPMOVZXBD (R9)(DX*2), Y6
	VPMOVZXBD (R9)(BX*1), Y7

	FDCT8(Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y8)
	TRANSPOSE(Y0, Y7, Y3, Y4, Y1, Y5, Y2, Y6, Y8)
	FDCT8(Y0, Y7, Y4, Y3, Y5, Y1, Y6, Y2, Y8)
	VPSUBD forwardMean<>(SB), Y0, Y0

	// The columns of coefficients are Y0, Y2, Y3, Y5, Y7, Y1, Y4 and Y6.
	QUANTIZE(Y0, 0)
	QUANTIZE(Y2, 1)
	QUANTIZE(Y3, 2)
	QUANTIZE(Y5, 3)
	QUANTIZE(Y7, 4)
	QUANTIZE(Y1, 5)
	QUANTIZE(Y4, 6)
	QUANTIZE(Y6, 7)

	PAIR(Y6, Y0)            // columns 0 and 7
	PAIR(Y4, Y2)            // columns 1 and 6
	PAIR(Y1, Y3)            // columns 2 and 5
	PAIR(Y7, Y5)            // columns 3 and 4
	VPERMQ $0x4e, Y0, Y1    // columns 7 and 0
	VPERMQ $0x4e, Y2, Y4    // columns 6 and 1
	VPERMQ $0x4e, Y3, Y6    // columns 5 and 2
	VPERMQ $0x4e, Y5, Y7    // columns 4 and 3

	// Zigzag order is symmetric: what puts its first 8 coefficients into the lower half puts its last 8, from the
	// opposite columns, into the upper half.
	LEAQ ·zigzagShuffles(SB), R8
	FIRST(Y0, 0, Y8)        // 0 to 7, 56 to 63
	MORE(Y2, 1, Y8)
	MORE(Y3, 2, Y8)
	MORE(Y5, 3, Y8)
	FIRST(Y0, 4, Y9)        // 8 to 15, 48 to 55
	MORE(Y2, 5, Y9)
	MORE(Y3, 6, Y9)
	MORE(Y5, 7, Y9)
	MORE(Y7, 8, Y9)
	MORE(Y6, 9, Y9)
	FIRST(Y0, 10, Y10)      // 16 to 23, 40 to 47
	MORE(Y2, 11, Y10)
	MORE(Y3, 12, Y10)
	MORE(Y5, 13, Y10)
	MORE(Y7, 14, Y10)
	FIRST(Y5, 15, Y11)      // 24 to 31, 32 to 39
	MORE(Y7, 16, Y11)
	MORE(Y6, 17, Y11)
	MORE(Y4, 18, Y11)
	MORE(Y1, 19, Y11)

	VMOVDQU      X8, 0(DI)
	VMOVDQU      X9, 16(DI)
	VMOVDQU      X10, 32(DI)
	VMOVDQU      X11, 48(DI)
	VEXTRACTI128 $1, Y11, 64(DI)
	VEXTRACTI128 $1, Y10, 80(DI)
	VEXTRACTI128 $1, Y9, 96(DI)
	VEXTRACTI128 $1, Y8, 112(DI)

	// A bit for each coefficient that is zero: AX has 0 to 15, 56 to 63 and 48 to 55, BX 16 to 31, 40 to 47, 32 to 39.
	VPXOR     Y15, Y15, Y15
	VPCMPEQW  Y15, Y8, Y8
	VPCMPEQW  Y15, Y9, Y9
	VPCMPEQW  Y15, Y10, Y10
	VPCMPEQW  Y15, Y11, Y11
	VPACKSSWB Y9, Y8, Y8
	VPACKSSWB Y11, Y10, Y10
	VPMOVMSKB Y8, AX
	VPMOVMSKB Y10, BX
	MOVL      AX, CX
	BSWAPL    CX            // 48 to 63 in the lower half
	MOVL      BX, DX
	BSWAPL    DX            // 32 to 47
	MOVWLZX   AX, AX
	SHLL      $16, BX
	ORL       BX, AX
	MOVWLZX   DX, DX
	SHLL      $16, CX
	ORL       CX, DX
	SHLQ      $32, DX
	ORQ       DX, AX
	NOTQ      AX
	MOVQ      AX, set+32(FP)
	VZEROUPPER
	RET
