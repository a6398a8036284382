#include "textflag.h"

// By how much a byte counts in weighted: 32 for the first, 1 for the last.
DATA weights<>+0(SB)/8, $0x191a1b1c1d1e1f20
DATA weights<>+8(SB)/8, $0x1112131415161718
DATA weights<>+16(SB)/8, $0x090a0b0c0d0e0f10
DATA weights<>+24(SB)/8, $0x0102030405060708
GLOBL weights<>(SB), RODATA|NOPTR, $32

// func adlerAVX2(p []byte) (sum, sums, weighted uint64)
TEXT ·adlerAVX2(SB), NOSPLIT, $0-48
	MOVQ     p_base+0(FP), SI
	MOVQ     p_len+8(FP), CX
	VMOVDQU  weights<>(SB), Y4
	VPCMPEQW Y5, Y5, Y5
	VPSRLW   $15, Y5, Y5
	VPXOR    Y0, Y0, Y0
	VPXOR    Y1, Y1, Y1
	VPXOR    Y2, Y2, Y2
	VPXOR    Y3, Y3, Y3

loop:
	VMOVDQU    (SI), Y6
	VPADDQ     Y1, Y2, Y2
	VPSADBW    Y0, Y6, Y7
	VPADDQ     Y7, Y1, Y1
	VPMADDUBSW Y4, Y6, Y6
	VPMADDWD   Y5, Y6, Y6
	VPADDD     Y6, Y3, Y3
	ADDQ       $32, SI
	SUBQ       $32, CX
	JNZ        loop

	// The lanes of weighted become 64 bits wide.
	VPSRLQ   $32, Y3, Y6
	VPBLENDD   $0xaa, Y0, Y3, Y3
	VPADDQ   Y6, Y3, Y3

	VEXTRACTI128 $1, Y1, X6
	VPADDQ       X6, X1, X1
	VPSRLDQ      $8, X1, X6
	VPADDQ       X6, X1, X1
	VMOVQ        X1, AX
	MOVQ         AX, sum+24(FP)

	VEXTRACTI128 $1, Y2, X6
	VPADDQ       X6, X2, X2
	VPSRLDQ      $8, X2, X6
	VPADDQ       X6, X2, X2
	VMOVQ        X2, AX
	MOVQ         AX, sums+32(FP)

	VEXTRACTI128 $1, Y3, X6
	VPADDQ       X6, X3, X3
	VPSRLDQ      $8, X3, X6
	VPADDQ       X6, X3, X3
	VMOVQ        X3, AX
	MOVQ         AX, weighted+40(FP)
	VZEROUPPER
	RET
