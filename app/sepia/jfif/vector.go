package jfif

import "golang.org/x/sys/cpu"

// vector reports whether blocks are transformed by the instructions of AVX2. The results are the same without it.
var vector = cpu.X86.HasAVX2
