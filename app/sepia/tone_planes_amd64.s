#include "go_asm.h"
#include "textflag.h"

// LOOKUP gathers the entries of toneCache at eight indices.
#define LOOKUP(index, entries) \
	VPCMPEQD   Y8, Y8, Y8                \
	VPGATHERDD Y8, (BX)(index*4), entries

// func tone420AVX2(upper, lower, cb, cr *byte, n int, cache *atomic.Uint32, t *planeVectors) (done int)
//
// A lane has two by two pixels, which share their chroma. A, B, C and D below are those of toneQuads.
TEXT ·tone420AVX2(SB), NOSPLIT, $0-64
	MOVQ upper+0(FP), SI
	MOVQ lower+8(FP), DI
	MOVQ cb+16(FP), R8
	MOVQ cr+24(FP), R9
	MOVQ n+32(FP), DX
	MOVQ cache+40(FP), BX
	MOVQ t+48(FP), CX
	XORQ AX, AX

loop:
	CMPQ AX, DX
	JGE  end

	// Y2 has the index of luma 0, Y3 the tag, as from cacheIndex.
	VPMOVZXBD (R8), Y0
	VPMOVZXBD (R9), Y1
	VPSLLD    $(32-const_chromaBits), Y0, Y2
	VPSRLD    $(32-const_chromaBits-8), Y2, Y2
	VPSLLD    $(32-const_chromaBits), Y1, Y3
	VPSRLD    $(32-2*const_chromaBits-8), Y3, Y3
	VPOR      Y3, Y2, Y2
	VPSRLD    $const_chromaBits, Y0, Y0
	VPSLLD    $(32-const_chromaBits), Y0, Y0
	VPSRLD    $const_chromaBits, Y1, Y1
	VPSLLD    $24, Y1, Y1
	VPADDD    Y1, Y0, Y3
	VPADDD    planeVectors_tag1(CX), Y3, Y3

	VPMOVZXWD (SI), Y4
	VPSRLD    $8, Y4, Y5
	VPAND     planeVectors_low(CX), Y4, Y4
	VPMOVZXWD (DI), Y6
	VPSRLD    $8, Y6, Y7
	VPAND     planeVectors_low(CX), Y6, Y6
	VPOR      Y2, Y4, Y4
	VPOR      Y2, Y5, Y5
	VPOR      Y2, Y6, Y6
	VPOR      Y2, Y7, Y7
	LOOKUP(Y4, Y9)  // A
	LOOKUP(Y5, Y10) // B
	LOOKUP(Y6, Y11) // C
	LOOKUP(Y7, Y12) // D

	VPXOR  Y3, Y9, Y4
	VPXOR  Y3, Y10, Y5
	VPXOR  Y3, Y11, Y6
	VPXOR  Y3, Y12, Y7
	VPOR   Y5, Y4, Y4
	VPOR   Y7, Y6, Y6
	VPOR   Y6, Y4, Y4
	VPSRLD $24, Y4, Y4
	VPTEST Y4, Y4
	JNZ    end

	VPSRLD       $8, Y9, Y4
	VPAND        planeVectors_low(CX), Y4, Y4
	VPAND        planeVectors_high(CX), Y10, Y5
	VPOR         Y5, Y4, Y4
	VPSRLD       $8, Y11, Y6
	VPAND        planeVectors_low(CX), Y6, Y6
	VPAND        planeVectors_high(CX), Y12, Y7
	VPOR         Y7, Y6, Y6
	VPACKUSDW    Y6, Y4, Y4
	VPERMQ       $0xd8, Y4, Y4
	VMOVDQU      X4, (SI)
	VEXTRACTI128 $1, Y4, (DI)

	VMOVDQU      planeVectors_chroma(CX), Y0
	VPAND        Y0, Y9, Y9
	VPAND        Y0, Y10, Y10
	VPAND        Y0, Y11, Y11
	VPAND        Y0, Y12, Y12
	VPADDD       Y10, Y9, Y9
	VPADDD       Y12, Y11, Y11
	VPADDD       Y11, Y9, Y9
	VPADDD       planeVectors_half(CX), Y9, Y9
	VPSRLD       $2, Y9, Y9
	VPSHUFB      planeVectors_split(CX), Y9, Y9 // four of Cb and four of Cr
	VEXTRACTI128 $1, Y9, X10
	VPUNPCKLDQ   X10, X9, X9
	VMOVQ        X9, (R8)
	VMOVHPS      X9, (R9)

	ADDQ $16, SI
	ADDQ $16, DI
	ADDQ $8, R8
	ADDQ $8, R9
	INCQ AX
	JMP  loop

end:
	MOVQ AX, done+56(FP)
	VZEROUPPER
	RET
