package main

import (
	"bufio"
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"io"
	"testing"

	"imagery/app/sepia"
	"imagery/app/testing/bench/frame"
)

// TestServe asks for photos as the benchmark does.
func TestServe(t *testing.T) {
	var photo bytes.Buffer
	img := image.NewYCbCr(image.Rect(0, 0, 40, 30), image.YCbCrSubsampleRatio420)
	if err := jpeg.Encode(&photo, img, nil); err != nil {
		t.Fatal(err)
	}
	raw := photo.Bytes()
	want, err := sepia.Filter{}.Apply(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	var in, out bytes.Buffer
	w := bufio.NewWriter(&in)
	asks := []struct {
		operation, format string
		body              []byte
		fails             bool
	}{
		{"ours", "jpeg", raw, false}, {"plain", "jpeg", raw, false}, {"ours", "png", raw, true},
		{"ours", "jpeg", raw[:50], true}, {"unknown", "jpeg", raw, true},
	}
	for _, a := range asks {
		request := frame.Request{Operation: a.operation, Format: a.format, Size: len(a.body)}
		if err := frame.Write(w, request, a.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := serve(bufio.NewReader(&in), bufio.NewWriter(&out)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(&out)
	var hello frame.Hello
	if err := frame.ReadHead(r, &hello); err != nil || hello.Versions == "" {
		t.Fatalf("%+v, %v", hello, err)
	}
	for i, a := range asks {
		var reply frame.Reply
		if err := frame.ReadHead(r, &reply); err != nil {
			t.Fatal(err)
		}
		body, err := frame.ReadBody(r, reply.Size)
		if err != nil || (reply.Error != "") != a.fails {
			t.Errorf("%s, %s: %+v, %v", a.operation, a.format, reply, err)
		}
		if a.fails {
			continue
		}
		if reply.Nanos <= 0 || reply.CPUMicros <= 0 || reply.Mallocs == 0 || reply.Allocated == 0 {
			t.Errorf("%s: the costs are %+v", a.operation, reply)
		}
		if i == 0 && !bytes.Equal(body, want.Body) {
			t.Error("the result is not the filter's")
		}
	}
	if err := frame.ReadHead(r, &frame.Reply{}); !errors.Is(err, io.EOF) {
		t.Errorf("after the last reply: %v", err)
	}
}
