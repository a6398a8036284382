//go:build !amd64

package jfif

func fdctAVX2(*[64]int16, *byte, int, *quantizer) uint64 { panic("not on this architecture") }

func idctAVX2(*block, *dequantizer, *byte, int) { panic("not on this architecture") }
