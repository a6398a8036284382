#include "go_asm.h"
#include "textflag.h"
#include "transform_amd64.h"

DATA inverse<>+0(SB)/4, $const_idctC4
DATA inverse<>+4(SB)/4, $const_idctSum
DATA inverse<>+8(SB)/4, $const_idctLow
DATA inverse<>+12(SB)/4, $const_idctHigh
GLOBL inverse<>(SB), RODATA|NOPTR, $16

// What is added to the first coefficient only.
DATA inverseMean<>+0(SB)/8, $const_idctMean
DATA inverseMean<>+8(SB)/8, $0
DATA inverseMean<>+16(SB)/8, $0
DATA inverseMean<>+24(SB)/8, $0
GLOBL inverseMean<>(SB), RODATA|NOPTR, $32

// turn4 transposes the 4x4 bytes of each half.
DATA turn4<>+0(SB)/8, $0x0d0905010c080400
DATA turn4<>+8(SB)/8, $0x0f0b07030e0a0602
DATA turn4<>+16(SB)/8, $0x0d0905010c080400
DATA turn4<>+24(SB)/8, $0x0f0b07030e0a0602
GLOBL turn4<>(SB), RODATA|NOPTR, $32

// IDCT8 is idct8 with the constants in Y11 to Y14. The results are in x0, x4, x6, x7, x2, x5, x3 and x1.
#define IDCT8(x0, x1, x2, x3, x4, x5, x6, x7, t) \
	BUTTERFLY(x0, x4, t)   \
	VPSLLD  $8, x0, x0     \
	VPSLLD  $8, x4, x4     \
	BUTTERFLY(x2, x6, t)   \
	VPSLLD  $8, x2, x2     \
	VPMULLD Y11, x6, x6    \
	VPSUBD  x2, x6, x6     \
	BUTTERFLY(x0, x2, t)   \
	BUTTERFLY(x4, x6, t)   \
	BUTTERFLY(x5, x3, t)   \
	BUTTERFLY(x1, x7, t)   \
	VPADDD  x3, x7, t      \
	VPMULLD Y12, t, t      \
	VPMULLD Y13, x7, x7    \
	VPSUBD  t, x7, x7      \
	VPMULLD Y14, x3, x3    \
	VPSUBD  x3, t, x3      \
	BUTTERFLY(x1, x5, t)   \
	VPSLLD  $8, x1, x1     \
	VPMULLD Y11, x5, x5    \
	VPSUBD  x1, x3, x3     \
	VPSUBD  x3, x5, x5     \
	VPADDD  x5, x7, x7     \
	BUTTERFLY(x0, x1, t)   \
	BUTTERFLY(x4, x3, t)   \
	BUTTERFLY(x6, x5, t)   \
	BUTTERFLY(x2, x7, t)

// ROW loads row r of the coefficients at SI and multiplies it by the factors at CX.
#define ROW(r, x) \
	VPMOVSXWD (16*r)(SI), x     \
	VPMULLD   (32*r)(CX), x, x

// func idctAVX2(b *block, q *dequantizer, dst *byte, stride int)
TEXT ·idctAVX2(SB), NOSPLIT, $0-32
	MOVQ b+0(FP), SI
	MOVQ q+8(FP), CX
	MOVQ dst+16(FP), DI
	MOVQ stride+24(FP), DX

	VPBROADCASTD inverse<>+0(SB), Y11
	VPBROADCASTD inverse<>+4(SB), Y12
	VPBROADCASTD inverse<>+8(SB), Y13
	VPBROADCASTD inverse<>+12(SB), Y14

	ROW(0, Y0)
	ROW(1, Y1)
	ROW(2, Y2)
	ROW(3, Y3)
	ROW(4, Y4)
	ROW(5, Y5)
	ROW(6, Y6)
	ROW(7, Y7)
	VPADDD inverseMean<>(SB), Y0, Y0

	IDCT8(Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y8)
	VPSRAD $const_idctDrop, Y0, Y0
	VPSRAD $const_idctDrop, Y1, Y1
	VPSRAD $const_idctDrop, Y2, Y2
	VPSRAD $const_idctDrop, Y3, Y3
	VPSRAD $const_idctDrop, Y4, Y4
	VPSRAD $const_idctDrop, Y5, Y5
	VPSRAD $const_idctDrop, Y6, Y6
	VPSRAD $const_idctDrop, Y7, Y7
	TRANSPOSE(Y0, Y4, Y6, Y7, Y2, Y5, Y3, Y1, Y8)
	IDCT8(Y0, Y4, Y7, Y6, Y5, Y2, Y1, Y3, Y8)
	VPSRAD $const_idctDone, Y0, Y0
	VPSRAD $const_idctDone, Y1, Y1
	VPSRAD $const_idctDone, Y2, Y2
	VPSRAD $const_idctDone, Y3, Y3
	VPSRAD $const_idctDone, Y4, Y4
	VPSRAD $const_idctDone, Y5, Y5
	VPSRAD $const_idctDone, Y6, Y6
	VPSRAD $const_idctDone, Y7, Y7

	// The columns of samples are Y0, Y5, Y1, Y3, Y7, Y2, Y6 and Y4. Packing clamps them to bytes.
	VPACKSSDW  Y5, Y0, Y0
	VPACKSSDW  Y3, Y1, Y1
	VPACKSSDW  Y2, Y7, Y7
	VPACKSSDW  Y4, Y6, Y6
	VPACKUSWB  Y1, Y0, Y0           // columns 0 to 3 of rows 0 to 3, and of rows 4 to 7
	VPACKUSWB  Y6, Y7, Y7           // columns 4 to 7
	VMOVDQU    turn4<>(SB), Y8
	VPSHUFB    Y8, Y0, Y0
	VPSHUFB    Y8, Y7, Y7
	VPUNPCKLDQ Y7, Y0, Y1           // rows 0 and 1, and 4 and 5
	VPUNPCKHDQ Y7, Y0, Y2           // rows 2 and 3, and 6 and 7

	VEXTRACTI128 $1, Y1, X3
	VEXTRACTI128 $1, Y2, X4
	LEAQ         (DX)(DX*2), BX
	LEAQ         (DI)(DX*4), R9
	VMOVQ        X1, (DI)
	VMOVHPS      X1, (DI)(DX*1)
	VMOVQ        X2, (DI)(DX*2)
	VMOVHPS      X2, (DI)(BX*1)
	VMOVQ        X3, (R9)
	VMOVHPS      X3, (R9)(DX*1)
	VMOVQ        X4, (R9)(DX*2)
	VMOVHPS      X4, (R9)(BX*1)
	VZEROUPPER
	RET
