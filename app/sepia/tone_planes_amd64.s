#include "go_asm.h"
#include "textflag.h"

// LOOKUP gathers the entries of a cache at eight indices.
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

// KEYED makes the keys of eight pixels, gathers their entries of webpCache, and leaves in key what differs in the tag.
#define KEYED(luma, pairs, key, entries) \
	VPMOVZXBD luma, key                          \
	VPSLLD    $8, key, key                       \
	VPOR      pairs, key, key                    \
	VPSRLD    $13, key, Y0                       \
	VPAND     planeVectors_spread(CX), Y0, Y0    \
	VPXOR     key, Y0, Y0                        \
	VPAND     planeVectors_entries(CX), Y0, Y0   \
	LOOKUP(Y0, entries)                          \
	VPSLLD    $6, key, key                       \
	VPXOR     entries, key, key

// LUMA leaves only the luma of entries.
#define LUMA(entries, luma) \
	VPSRLD $8, entries, luma                   \
	VPAND  planeVectors_low(CX), luma, luma

// func tonePairsAVX2(upper, lower *byte, above, below *uint32, cb, cr *byte, n int, cache *atomic.Uint32,
//     t *planeVectors) (done int)
//
// A lane has a pixel: Y9 and Y10 have sixteen of the upper row, Y11 and Y12 those of the lower row.
TEXT ·tonePairsAVX2(SB), NOSPLIT, $0-80
	MOVQ upper+0(FP), SI
	MOVQ lower+8(FP), DI
	MOVQ above+16(FP), R10
	MOVQ below+24(FP), R11
	MOVQ cb+32(FP), R8
	MOVQ cr+40(FP), R9
	MOVQ n+48(FP), DX
	MOVQ cache+56(FP), BX
	MOVQ t+64(FP), CX
	XORQ AX, AX

loop:
	CMPQ AX, DX
	JGE  end
	KEYED((SI), (R10), Y1, Y9)
	KEYED(8(SI), 32(R10), Y2, Y10)
	KEYED((DI), (R11), Y3, Y11)
	KEYED(8(DI), 32(R11), Y4, Y12)
	VPOR   Y2, Y1, Y1
	VPOR   Y4, Y3, Y3
	VPOR   Y3, Y1, Y1
	VPTEST planeVectors_tag(CX), Y1
	JNZ    end

	LUMA(Y9, Y1)
	LUMA(Y10, Y2)
	LUMA(Y11, Y3)
	LUMA(Y12, Y4)
	VPACKUSDW    Y2, Y1, Y1
	VPACKUSDW    Y4, Y3, Y3
	VPACKUSWB    Y3, Y1, Y1
	VMOVDQU      planeVectors_order(CX), Y0
	VPERMD       Y1, Y0, Y1 // sixteen of the upper and sixteen of the lower row
	VMOVDQU      X1, (SI)
	VEXTRACTI128 $1, Y1, (DI)

	VMOVDQU      planeVectors_chroma(CX), Y0
	VPAND        Y0, Y9, Y9
	VPAND        Y0, Y10, Y10
	VPAND        Y0, Y11, Y11
	VPAND        Y0, Y12, Y12
	VPADDD       Y11, Y9, Y9
	VPADDD       Y12, Y10, Y10
	VPHADDD      Y10, Y9, Y9
	VPERMQ       $0xd8, Y9, Y9
	VPADDD       planeVectors_half(CX), Y9, Y9
	VPSRLD       $2, Y9, Y9
	VPSHUFB      planeVectors_split(CX), Y9, Y9 // four of Cb and four of Cr
	VEXTRACTI128 $1, Y9, X10
	VPUNPCKLDQ   X10, X9, X9
	VMOVQ        X9, (R8)
	VMOVHPS      X9, (R9)

	ADDQ $16, SI
	ADDQ $16, DI
	ADDQ $64, R10
	ADDQ $64, R11
	ADDQ $8, R8
	ADDQ $8, R9
	INCQ AX
	JMP  loop

end:
	MOVQ AX, done+72(FP)
	VZEROUPPER
	RET

// WEIGHTED makes three parts of eight near samples and one part of the far ones.
#define WEIGHTED(near, far, column, sum) \
	VMOVQ      column(near)(AX*8), sum             \
	VMOVQ      column(far)(AX*8), X8               \
	VPUNPCKLBW X8, sum, sum                        \
	VPMADDUBSW planeVectors_weights(CX), sum, sum

// UPSAMPLE makes the left and the right pixels of eight columns, in one channel.
#define UPSAMPLE(near, far, round, left, right) \
	WEIGHTED(near, far, 0, left)  \
	WEIGHTED(near, far, 1, X6)    \
	WEIGHTED(near, far, 2, right) \
	VPADDW X6, X6, X7             \
	VPADDW X6, X7, X7             \
	VPADDW round(CX), X7, X7      \
	VPADDW X7, left, left         \
	VPADDW X7, right, right       \
	VPSRLW $4, left, left         \
	VPSRLW $4, right, right

// func upsampleAVX2(dst *uint32, nearCb, nearCr, farCb, farCr *byte, n int, t *planeVectors)
TEXT ·upsampleAVX2(SB), NOSPLIT, $0-56
	MOVQ dst+0(FP), DI
	MOVQ nearCb+8(FP), R8
	MOVQ nearCr+16(FP), R9
	MOVQ farCb+24(FP), R10
	MOVQ farCr+32(FP), R11
	MOVQ n+40(FP), DX
	MOVQ t+48(FP), CX
	XORQ AX, AX

loop:
	UPSAMPLE(R8, R10, planeVectors_roundCb, X0, X1)
	UPSAMPLE(R9, R11, planeVectors_roundCr, X2, X3)
	VPUNPCKLWD X2, X0, X4 // the left pixels of four columns
	VPUNPCKHWD X2, X0, X5
	VPUNPCKLWD X3, X1, X6 // the right ones
	VPUNPCKHWD X3, X1, X7
	VPUNPCKLDQ X6, X4, X0
	VPUNPCKHDQ X6, X4, X1
	VPUNPCKLDQ X7, X5, X2
	VPUNPCKHDQ X7, X5, X3
	VMOVDQU    X0, (DI)
	VMOVDQU    X1, 16(DI)
	VMOVDQU    X2, 32(DI)
	VMOVDQU    X3, 48(DI)
	ADDQ       $64, DI
	INCQ       AX
	CMPQ       AX, DX
	JLT        loop
	VZEROUPPER
	RET
