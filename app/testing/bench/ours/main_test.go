package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"os"
	"path/filepath"
	"testing"

	"imagery/app/sepia"
	"imagery/app/testing/bench/protocol"
)

// TestServe asks for photos as the benchmark does.
func TestServe(t *testing.T) {
	var photo bytes.Buffer
	img := image.NewYCbCr(image.Rect(0, 0, 40, 30), image.YCbCrSubsampleRatio420)
	if err := jpeg.Encode(&photo, img, nil); err != nil {
		t.Fatal(err)
	}
	raw := photo.Bytes()
	res, err := sepia.Filter{}.Apply(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	want, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	var in, out bytes.Buffer
	asks := []struct {
		operation, format, file string
		fails                   bool
	}{
		{"ours", "jpeg", "photo", false}, {"plain", "jpeg", "photo", false}, {"ours", "png", "photo", true},
		{"ours", "jpeg", "cut", true}, {"ours", "jpeg", "missing", true}, {"unknown", "jpeg", "photo", true},
	}
	for name, body := range map[string][]byte{"photo": raw, "cut": raw[:50]} {
		if err := os.WriteFile(path(name), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i, a := range asks {
		err := json.NewEncoder(&in).Encode(protocol.Request{Operation: a.operation, Format: a.format,
			In: path(a.file), Out: path(fmt.Sprint(i))})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := serve(&in, &out); err != nil {
		t.Fatal(err)
	}
	replies := json.NewDecoder(&out)
	var hello protocol.Hello
	if err := replies.Decode(&hello); err != nil || hello.Versions == "" {
		t.Fatalf("%+v, %v", hello, err)
	}
	for _, a := range asks {
		var reply protocol.Reply
		if err := replies.Decode(&reply); err != nil || (reply.Error != "") != a.fails {
			t.Errorf("%s, %s: %+v, %v", a.operation, a.format, reply, err)
		}
		if !a.fails && (reply.Nanos <= 0 || reply.CPUMicros <= 0 || reply.Mallocs == 0 || reply.Allocated == 0) {
			t.Errorf("%s: the costs are %+v", a.operation, reply)
		}
	}
	if body, err := os.ReadFile(path("0")); err != nil || !bytes.Equal(body, want) {
		t.Errorf("the result is not the filter's: %v", err)
	}
}
