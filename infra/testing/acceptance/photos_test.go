package main

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"testing"

	"imagery/app/client"
)

func readAll(t *testing.T) pictures {
	t.Helper()
	p, err := readPictures("../../..")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// filtered returns the result of a picture.
func filtered(size image.Point) []byte {
	m := image.NewNRGBA(image.Rectangle{Max: size})
	for i, c := range quarters {
		x, y := i%2*size.X/2, i/2*size.Y/2
		draw.Draw(m, image.Rect(x, y, x+size.X/2, y+size.Y/2), image.NewUniform(c), image.Point{}, draw.Src)
	}
	var b bytes.Buffer
	_ = png.Encode(&b, m)
	return b.Bytes()
}

func TestCheckComparesSizeAndColours(t *testing.T) {
	p := readAll(t).steady
	if err := p.check(filtered(p.size)); err != nil {
		t.Error(err)
	}
	if err := p.check(filtered(image.Pt(120, 160))); err == nil || !strings.Contains(err.Error(), "want (160,120)") {
		t.Errorf("another size: %v", err)
	}
	if err := p.check(p.data); err == nil || !strings.Contains(err.Error(), "want {194") {
		t.Errorf("the photo itself: %v", err)
	}
	if err := p.check([]byte("no photo")); err == nil {
		t.Error("no photo passes")
	}
}

// TestFormats: every format that README promises has a picture.
func TestFormats(t *testing.T) {
	var kinds []string
	for _, p := range readAll(t).formats {
		kinds = append(kinds, http.DetectContentType(p.data))
	}
	for _, kind := range []string{"image/jpeg", "image/png", "image/gif", "image/webp"} {
		if !slices.Contains(kinds, kind) {
			t.Errorf("no picture is %s: %v", kind, kinds)
		}
	}
}

func TestForeignPhotosAreKnownByTheirHash(t *testing.T) {
	p := readAll(t)
	own, err := p.own("../../..")
	if err != nil || len(own) < len(p.formats)+4 {
		t.Fatal(len(own), err)
	}
	var keys []string
	for hash := range own {
		keys = append(keys, "upload/1/"+hash, "processed/1/"+hash+".jpg")
	}
	if n, _ := foreign(keys, own); n != 0 {
		t.Errorf("%d own photos are foreign", n)
	}
	other := "upload/2/" + strings.Repeat("ab", 32)
	if n, example := foreign(append(keys, other), own); n != 1 || example != other {
		t.Errorf("%d, %s", n, example)
	}
}

// TestCheckAllNamesEachPhoto: one is right, one failed, one has wrong colours, one is unknown.
func TestCheckAllNamesEachPhoto(t *testing.T) {
	p := readAll(t).steady
	at := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := strings.Split(r.URL.Path, "/")[2]
		state := map[string]string{"right": "processed", "wrong": "processed", "bad": "failed"}[id]
		switch {
		case state == "":
			http.NotFound(w, r)
		case path.Base(r.URL.Path) == "processed" && id == "right":
			_, _ = w.Write(filtered(p.size))
		case path.Base(r.URL.Path) == "processed":
			_, _ = w.Write(p.data)
		default:
			const answer = `{"id":%q,"version":2,"state":%q,"error":"why","processedImage":"/image/%s/processed"}`
			fmt.Fprintf(w, answer, id, state, id)
		}
	}))
	defer at.Close()
	errs := checkAll(t.Context(), client.New(at.URL), map[string]picture{"right": p, "wrong": p, "bad": p, "away": p})
	text := errors.Join(errs...).Error()
	if len(errs) != 3 || !strings.Contains(text, "photo bad: failed: why") || !strings.Contains(text, "photo away: ") {
		t.Error(text)
	}
	wrong := slices.IndexFunc(errs, func(err error) bool { w := (*wrongError)(nil); return errors.As(err, &w) })
	if wrong < 0 || !strings.Contains(errs[wrong].Error(), "photo wrong: ") {
		t.Error(text)
	}
}
