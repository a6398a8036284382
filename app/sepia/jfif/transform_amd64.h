// Both transforms hold a block as eight registers of eight 32-bit lanes: one register for each row at first, and after
// TRANSPOSE one for each column. All sums and products are those of fdct8 and idct8, so the results are the same.

// BUTTERFLY sets a, b = a+b, a-b.
#define BUTTERFLY(a, b, t) \
	VMOVDQA a, t    \
	VPADDD  b, a, a \
	VPSUBD  b, t, b

// TRANSPOSE transposes r0 to r7. The columns are then in r0, r1, r3, r2, r5, r4, r7 and r6.
#define TRANSPOSE(r0, r1, r2, r3, r4, r5, r6, r7, t) \
	VPUNPCKHDQ  r1, r0, t         \
	VPUNPCKLDQ  r1, r0, r0        \
	VPUNPCKHDQ  r3, r2, r1        \
	VPUNPCKLDQ  r3, r2, r2        \
	VPUNPCKHDQ  r5, r4, r3        \
	VPUNPCKLDQ  r5, r4, r4        \
	VPUNPCKHDQ  r7, r6, r5        \
	VPUNPCKLDQ  r7, r6, r6        \
	VPUNPCKHQDQ r2, r0, r7        \
	VPUNPCKLQDQ r2, r0, r0        \
	VPUNPCKHQDQ r1, t, r2         \
	VPUNPCKLQDQ r1, t, t          \
	VPUNPCKHQDQ r6, r4, r1        \
	VPUNPCKLQDQ r6, r4, r4        \
	VPUNPCKHQDQ r5, r3, r6        \
	VPUNPCKLQDQ r5, r3, r3        \
	VPERM2I128  $0x31, r4, r0, r5 \
	VPERM2I128  $0x20, r4, r0, r0 \
	VPERM2I128  $0x31, r1, r7, r4 \
	VPERM2I128  $0x20, r1, r7, r1 \
	VPERM2I128  $0x31, r3, t, r7  \
	VPERM2I128  $0x20, r3, t, r3  \
	VPERM2I128  $0x20, r6, r2, t  \
	VPERM2I128  $0x31, r6, r2, r6 \
	VMOVDQA     t, r2
