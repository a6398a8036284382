#!/usr/bin/env python3
"""Writes golden.txt: colours and what LittleCMS makes of them, for each profile that TestGolden writes.

For 8-bit pixels, with the relative colorimetric intent and black point compensation. Profiles with tables go through
the grid that LittleCMS makes of them by default, all others through its exact pipeline. A line has a name, the number of
channels, and colours with their results in hexadecimal.
"""
import ctypes
import glob
import os
import random
import sys

lcms = ctypes.CDLL("liblcms2.so.2")
for name in "cmsOpenProfileFromMem", "cmsCreate_sRGBProfile", "cmsCreateTransform":
    getattr(lcms, name).restype = ctypes.c_void_p
lcms.cmsOpenProfileFromMem.argtypes = [ctypes.c_char_p, ctypes.c_uint32]
lcms.cmsCreateTransform.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p] + [ctypes.c_uint32] * 3
lcms.cmsDoTransform.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint32]
RELATIVE, COMPENSATION, EXACT = 1, 0x2000, 0x0100
FORMATS = {b"GRAY": (1, 3 << 16 | 1 << 3 | 1), b"RGB ": (3, 4 << 16 | 3 << 3 | 1), b"CMYK": (4, 6 << 16 | 4 << 3 | 1)}

for path in sorted(glob.glob(os.path.join(sys.argv[1], "*.icc"))):
    with open(path, "rb") as f:
        data = f.read()
    channels, kind = FORMATS[data[16:20]]
    r = random.Random(19)
    pixels = [[v] * channels for v in range(0, 256, 255 if channels == 4 else 15)]
    while len(pixels) < 220:
        power = r.choice([1, 1, 3])  # a third of the colours is dark
        pixels.append([int(255.99 * r.random() ** power) for _ in range(channels)])
    source = bytes(v for p in pixels for v in p)
    profile = lcms.cmsOpenProfileFromMem(data, len(data))
    flags = COMPENSATION | (0 if channels > 1 and b"A2B" in data[128:512] else EXACT)
    transform = lcms.cmsCreateTransform(
        profile, kind, lcms.cmsCreate_sRGBProfile(), FORMATS[b"RGB "][1], RELATIVE, flags)
    result = ctypes.create_string_buffer(3 * len(pixels))
    lcms.cmsDoTransform(transform, source, result, len(pixels))
    print(os.path.basename(path)[:-4], channels, source.hex(), result.raw.hex())
