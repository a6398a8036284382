package sepia_test

// formatTables are the tables of docs/formats.md.
var formatTables = []struct {
	name    string
	samples []sample
}{
	{"jpeg", []sample{
		{"jpeg-444.jpg", "baseline, full chroma", 8},
		{"jpeg-420.jpg", "baseline, 4:2:0", 8},
		{"jpeg-422.jpg", "baseline, 4:2:2", 8},
		{"jpeg-440.jpg", "baseline, 4:4:0", 8},
		{"jpeg-411.jpg", "baseline, 4:1:1", 8},
		{"jpeg-restart.jpg", "with restart markers", 8},
		{"jpeg-progressive.jpg", "progressive, 4:2:0", 8},
		{"jpeg-sof1.jpg", "extended sequential, 8 bit", 8},
		{"jpeg-grey.jpg", "greyscale", 8},
		{"jpeg-rgb.jpg", "RGB instead of YCbCr", 8},
		{"jpeg-cmyk.jpg", "CMYK with Adobe's marker", 8},
		{"jpeg-cmyknoadobe.jpg", "CMYK without it", 8},
		{"jpeg-exif6.jpg", "turned by Exif", 8},
		{"jpeg-badexif.jpg", "with a damaged Exif block", 8},
		{"jpeg-noeoi.jpg", "without its end marker", 8},
		{"jpeg-cut.jpg", "without the last third of its data", 8},
		{"jpeg-progressivecut.jpg", "progressive, without its last 200 bytes", 8},
		{"jpeg-srgb.jpg", "sRGB profile", 8},
		{"jpeg-p3.jpg", "Display P3 profile", 8},
		{"jpeg-adobe.jpg", "Adobe RGB profile", 8},
		{"jpeg-greyprofile.jpg", "greyscale, profile of gamma 1.8", 8},
		{"jpeg-cmykprofile.jpg", "CMYK with the profile of a printer", 8},
		{"jpeg-badprofile.jpg", "with a damaged profile, which is ignored", 8},
	}},
	{"png", []sample{
		{"png-8bit.png", "8 bit", 0},
		{"png-16bit.png", "16 bit", 0},
		{"png-grey.png", "greyscale", 0},
		{"png-palette.png", "palette with a transparent colour", 0},
		{"png-alpha.png", "with alpha", 0},
		{"png-interlaced.png", "interlaced", 0},
		{"png-noiend.png", "without its end chunk", 0},
		{"png-srgb.png", "sRGB profile", 0},
		{"png-p3.png", "Display P3 profile", 4},
		{"png-cicp.png", "Display P3 by cICP", 4},
		{"png-gama.png", "gAMA of linear light", 4},
		{"png-gama45455.png", "gAMA 45455, that of sRGB", 0},
		{"png-animated.png", "APNG", 0},
	}},
	{"gif", []sample{
		{"gif-still.gif", "still", 0},
		{"gif-animated.gif", "animated", 0},
		{"gif-offset.gif", "the frame is smaller than the screen", 0},
	}},
	{"webp", []sample{
		{"webp-lossy.webp", "lossy", 0},
		{"webp-lossless.webp", "lossless", 0},
		{"webp-alpha.webp", "lossy with alpha", 0},
		{"webp-p3.webp", "Display P3 profile", 4},
		{"webp-animated.webp", "animated", 0},
	}},
	{"refused", []sample{
		{"jpeg-arithmetic.jpg", "JPEG with arithmetic coding", 0},
		{"jpeg-12bit.jpg", "JPEG of 12 bits", 0},
		{"jpeg-lossless.jpg", "lossless JPEG", 0},
		{"jpeg-twosoi.jpg", "JPEG with two start markers", 0},
		{"jpeg-cutearly.jpg", "JPEG without two thirds of its data", 0},
		{"png-cut.png", "PNG cut in half", 0},
	}},
}
