#include "go_asm.h"
#include "textflag.h"

// CONTRAST applies brightness, which was added, and contrast to the bytes in x.
#define CONTRAST(x) \
	VPMADDWD toneVectors_factor(CX), x, x \
	VPADDD   toneVectors_offset(CX), x, x \
	VPSRAD   $const_contrastBits, x, x    \
	VPMAXSD  toneVectors_zero(CX), x, x   \
	VPMINSD  toneVectors_byte(CX), x, x

// SEPIA is the sepia step for four pixels, whose channels are in X5, X6 and X7, with the products and sums of apply, so
// that they are rounded alike. The results are r, g and b.
#define SEPIA(r, g, b) \
	VCVTDQ2PD  X5, Y5                           \
	VCVTDQ2PD  X6, Y6                           \
	VCVTDQ2PD  X7, Y7                           \
	VMULPD     toneVectors_redR(CX), Y5, Y8     \
	VMULPD     toneVectors_redG(CX), Y6, Y11    \
	VADDPD     Y11, Y8, Y8                      \
	VMULPD     toneVectors_redB(CX), Y7, Y11    \
	VADDPD     Y11, Y8, Y8                      \
	VMINPD     toneVectors_limit(CX), Y8, Y8    \
	VMULPD     toneVectors_greenR(CX), Y8, Y9   \
	VMULPD     toneVectors_greenG(CX), Y6, Y11  \
	VADDPD     Y11, Y9, Y9                      \
	VMULPD     toneVectors_greenB(CX), Y7, Y11  \
	VADDPD     Y11, Y9, Y9                      \
	VMINPD     toneVectors_limit(CX), Y9, Y9    \
	VMULPD     toneVectors_blueR(CX), Y8, Y10   \
	VMULPD     toneVectors_blueG(CX), Y9, Y11   \
	VADDPD     Y11, Y10, Y10                    \
	VMULPD     toneVectors_blueB(CX), Y7, Y11   \
	VADDPD     Y11, Y10, Y10                    \
	VMINPD     toneVectors_limit(CX), Y10, Y10  \
	VCVTPD2DQY Y8, r                            \
	VCVTPD2DQY Y9, g                            \
	VCVTPD2DQY Y10, b

// FADE is the saturation step for channel x: Y5 has three times the largest channel, plus 5. A tenth of the sum is
// rounded, and halves, which leave no remainder, to even.
#define FADE(x) \
	VPSLLD   $3, x, Y6                    \
	VPSUBD   x, Y6, Y6                    \
	VPADDD   Y5, Y6, Y6                   \
	VPMULHUW toneVectors_tenth(CX), Y6, x \
	VPMULLW  toneVectors_ten(CX), x, Y7   \
	VPCMPEQD Y6, Y7, Y7                   \
	VPAND    x, Y7, Y7                    \
	VPAND    toneVectors_one(CX), Y7, Y7  \
	VPSUBD   Y7, x, x

// TONE filters eight pixels in Y0, with four bytes for each. The results are in Y2, and have no fourth byte.
#define TONE \
	VPADDUSB     toneVectors_bright(CX), Y0, Y1 \
	VPAND        toneVectors_byte(CX), Y1, Y2   \
	VPSRLD       $8, Y1, Y3                     \
	VPAND        toneVectors_byte(CX), Y3, Y3   \
	VPSRLD       $16, Y1, Y4                    \
	VPAND        toneVectors_byte(CX), Y4, Y4   \
	CONTRAST(Y2)                                \
	CONTRAST(Y3)                                \
	CONTRAST(Y4)                                \
	VMOVDQA      X2, X5                         \
	VMOVDQA      X3, X6                         \
	VMOVDQA      X4, X7                         \
	SEPIA(X12, X13, X14)                        \
	VEXTRACTI128 $1, Y2, X5                     \
	VEXTRACTI128 $1, Y3, X6                     \
	VEXTRACTI128 $1, Y4, X7                     \
	SEPIA(X2, X3, X4)                           \
	VINSERTI128  $1, X2, Y12, Y2                \
	VINSERTI128  $1, X3, Y13, Y3                \
	VINSERTI128  $1, X4, Y14, Y4                \
	VPMAXSD      Y2, Y3, Y5                     \
	VPMAXSD      Y4, Y5, Y5                     \
	VPADDD       Y5, Y5, Y6                     \
	VPADDD       Y6, Y5, Y5                     \
	VPADDD       toneVectors_half(CX), Y5, Y5   \
	FADE(Y2)                                    \
	FADE(Y3)                                    \
	FADE(Y4)                                    \
	VPSLLD       $8, Y3, Y3                     \
	VPOR         Y3, Y2, Y2                     \
	VPSLLD       $16, Y4, Y4                    \
	VPOR         Y4, Y2, Y2

// func tone4AVX2(pix *byte, n int, t *toneVectors)
TEXT ·tone4AVX2(SB), NOSPLIT, $0-24
	MOVQ pix+0(FP), DI
	MOVQ n+8(FP), DX
	MOVQ t+16(FP), CX

loop:
	VMOVDQU (DI), Y0
	TONE
	VPSRLD  $24, Y0, Y0 // alpha
	VPSLLD  $24, Y0, Y0
	VPOR    Y0, Y2, Y2
	VMOVDQU Y2, (DI)
	ADDQ    $32, DI
	DECQ    DX
	JNZ     loop
	VZEROUPPER
	RET

// func tone3AVX2(pix *byte, n int, t *toneVectors)
TEXT ·tone3AVX2(SB), NOSPLIT, $0-24
	MOVQ pix+0(FP), DI
	MOVQ n+8(FP), DX
	MOVQ t+16(FP), CX

loop:
	VMOVDQU      (DI), X0            // four pixels in the first 12 bytes
	VINSERTI128  $1, 8(DI), Y0, Y0   // four in the last 12
	VPSHUFB      toneVectors_spread(CX), Y0, Y0
	TONE
	VPSHUFB      toneVectors_join(CX), Y2, Y2
	VEXTRACTI128 $1, Y2, X3
	VMOVDQU      X2, (DI)            // 12 bytes, and 4 that are written again
	VMOVQ        X3, 12(DI)
	VPEXTRD      $2, X3, 20(DI)
	ADDQ         $24, DI
	DECQ         DX
	JNZ          loop
	VZEROUPPER
	RET
