package pngstream

import "golang.org/x/sys/cpu"

// vector reports whether the instructions of AVX2 are used. The results are the same without it.
var vector = cpu.X86.HasAVX2
