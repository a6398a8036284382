package e2e

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"image"
	"image/color/palette"
	"net/http"
	"strings"
	"sync"
	"testing"

	"imagery/app/admin/fsck"
	api "imagery/app/client"
	"imagery/app/imagery"
)

// pngHeader returns a PNG that consists of its header only.
func pngHeader(width, height uint32) []byte {
	ihdr := binary.BigEndian.AppendUint32([]byte("IHDR"), width)
	ihdr = append(binary.BigEndian.AppendUint32(ihdr, height), 8, 2, 0, 0, 0)
	b := binary.BigEndian.AppendUint32([]byte("\x89PNG\r\n\x1a\n"), 13)
	b = append(b, ihdr...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(ihdr))
}

// gigaGIF is 34 bytes that claim 65535 x 65535 pixels.
const gigaGIF = "GIF89a\xff\xff\xff\xff\x00\x00\x00" +
	",\x00\x00\x00\x00\xff\xff\xff\xff\x00\x02\x02D\x01\x00;\x00\x00\x00\x00\x00"

// lyingWebP returns a WebP whose canvas has 1 x 1 pixels and whose frame is larger.
func lyingWebP() []byte {
	vp8x := append([]byte("VP8X\x0a\x00\x00\x00"), make([]byte, 10)...)
	frame := []byte("VP8L\x05\x00\x00\x00\x2f\xff\xff\xff\x0f\x00")
	b := binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(4+len(vp8x)+len(frame)))
	return append(append(append(b, "WEBP"...), vp8x...), frame...)
}

// rejectedRequest is a request that must get an error status and leave nothing behind.
type rejectedRequest struct {
	name        string
	method      string
	path        string // ID stands for an image in state created
	body        []byte
	contentType string
	want        int
}

func rejectedRequests(t *testing.T) []rejectedRequest {
	file := func(name string, body []byte, want int) rejectedRequest {
		contentType, b := api.Form("photo", body)
		return rejectedRequest{name, http.MethodPost, "/image/ID/upload", b, contentType, want}
	}
	small := encodeJPEG(t, scene(1, 20, 20))
	unknown := imagery.NewID()
	contentType, b := api.Form("photo", small)
	list := []rejectedRequest{
		file("text named .jpg", []byte("just some words"), 415),
		file("SVG", []byte(`<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>`), 415),
		file("empty file", nil, 415),
		file("TIFF", []byte("II*\x00\x08\x00\x00\x00"), 415),
		file("BMP", []byte("BM\x46\x00\x00\x00"), 415),
		file("gigapixel GIF", []byte(gigaGIF), 422),
		file("gigapixel PNG", pngHeader(1<<20, 1<<20), 422),
		file("PNG one row over the limit", pngHeader(10_000, 5_001), 422),
		file("WebP whose canvas lies", lyingWebP(), 422),
		file("header cut off", small[:40], 422),
		file("20 MiB and a byte", append(bytes.Clone(small), make([]byte, 20<<20+1-len(small))...), 413),
		file("30 MiB", append(bytes.Clone(small), make([]byte, 30<<20)...), 413),
		{"malformed id", http.MethodPost, "/image/7/upload", b, contentType, 400},
		{"id in braces", http.MethodGet, "/image/{" + unknown[1:35] + "}", nil, "", 400},
		{"id without hyphens", http.MethodGet, "/image/" + strings.ReplaceAll(unknown, "-", ""), nil, "", 400},
		{"path trick", http.MethodGet, "/image/..%2f..%2fetc%2fpasswd", nil, "", 400},
		{"path trick in processed", http.MethodGet, "/image/..%2fimagery.db/processed", nil, "", 400},
		{"unknown id", http.MethodPost, "/image/" + unknown + "/upload", b, contentType, 404},
		{"unknown id, GET", http.MethodGet, "/image/" + unknown, nil, "", 404},
		{"not processed yet", http.MethodGet, "/image/ID/processed", nil, "", 404},
		{"not multipart", http.MethodPost, "/image/ID/upload", small, "image/jpeg", 400},
		{"multipart/mixed", http.MethodPost, "/image/ID/upload", b, strings.Replace(contentType, "form-data", "mixed", 1),
			400},
		{"no file part", http.MethodPost, "/image/ID/upload", []byte("--x\r\nContent-Disposition: form-data; " +
			"name=\"a\"\r\n\r\nb\r\n--x--\r\n"), "multipart/form-data; boundary=x", 400},
		{"body ends early", http.MethodPost, "/image/ID/upload", b[:len(b)-30], contentType, 400},
		{"create with a bad id", http.MethodPost, "/image", []byte(`{"id":"7"}`), "", 400},
		{"create with no JSON", http.MethodPost, "/image", []byte(`hello`), "", 400},
		{"negative wait", http.MethodGet, "/image/ID?wait=-1s", nil, "", 400},
		{"unreadable wait", http.MethodGet, "/image/ID?wait=soon", nil, "", 400},
		{"unreadable version", http.MethodGet, "/image/ID?wait=1s&version=x", nil, "", 400},
		{"unknown route", http.MethodGet, "/nothing/here", nil, "", 404},
		{"unknown method", http.MethodDelete, "/image/ID", nil, "", 405},
	}
	fields := strings.Repeat("x", 70<<10)
	list = append(list, rejectedRequest{"70 KiB of fields before the file", http.MethodPost, "/image/ID/upload",
		[]byte("--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n" + fields + "\r\n--x--\r\n"),
		"multipart/form-data; boundary=x", 400})
	return list
}

func TestRefusalsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	p := start(t, data, nil)
	c := newClient(t, p.url)
	id := c.create(t.Context())
	for _, r := range rejectedRequests(t) {
		req, err := http.NewRequestWithContext(t.Context(), r.method, p.url+strings.ReplaceAll(r.path, "ID", id),
			bytes.NewReader(r.body))
		if err != nil {
			t.Fatal(err)
		}
		if r.contentType != "" {
			req.Header.Set("Content-Type", r.contentType)
		}
		req.Header.Set("Accept", "text/html") // as a browser does; the answer is the same
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Errorf("%s: %v", r.name, err)
			continue
		}
		var problem struct {
			Type, Title, Detail, RequestID string
			Status                         int
		}
		err = json.NewDecoder(res.Body).Decode(&problem)
		res.Body.Close()
		if res.StatusCode != r.want || err != nil || problem.Status != r.want ||
			res.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %+v, %v; want %d", r.name, res.StatusCode, problem, err, r.want)
		}
		if problem.Type == "" || problem.Title == "" || problem.RequestID == "" ||
			problem.RequestID != res.Header.Get("X-Request-Id") ||
			len(strings.Fields(problem.Detail)) < 3 {
			t.Errorf("%s: a field is missing or too short: %+v", r.name, problem)
		}
	}
	if v, err := c.Get(t.Context(), id); err != nil || v.State != "created" || v.Version != 0 {
		t.Errorf("the image after all refusals: %+v, %v", v, err)
	}
	p.stop(t)
	s, err := fsck.Local(data)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Items) != 1 || len(s.Objects) != 0 || len(s.Messages) != 0 {
		t.Errorf("refusals left %d items, %d objects, %d messages; want the created one alone", len(s.Items), len(s.Objects),
			len(s.Messages))
	}
}

// TestTwoUploadsRace sends two different files to one new id at the same time. Exactly one must be accepted, whichever
// servers they reach.
func TestTwoUploadsRace(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), nil)
	c := newClient(t, p.url)
	a, b := encodeJPEG(t, scene(1, 30, 30)), encodeJPEG(t, scene(2, 30, 30))
	for range 30 {
		id := c.create(t.Context())
		var status [2]int
		var both sync.WaitGroup
		for i, file := range [][]byte{a, b} {
			both.Go(func() {
				contentType, body := api.Form("photo", file)
				res, err := c.Do(t.Context(), http.MethodPost, "/image/"+id+"/upload", body, api.ContentType(contentType))
				if status[i] = res.Status; err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		if status[0]+status[1] != 202+409 {
			t.Errorf("the two uploads were answered %v, want 202 and 409", status)
		}
	}
}

// TestAtTheLimits checks that files exactly at the limits are accepted.
func TestAtTheLimits(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), nil)
	c := newClient(t, p.url)
	small := encodeJPEG(t, scene(1, 40, 30))
	for _, ok := range []photo{
		{"20 MiB exactly", append(bytes.Clone(small), make([]byte, 20<<20-len(small))...), "processed"},
		{"50,000,000 pixels exactly", encodePNG(t, image.NewPaletted(image.Rect(0, 0, 10_000, 5_000), palette.WebSafe)),
			"processed"},
	} {
		id := imagery.NewID()
		if err := c.upload(t.Context(), id, ok); err != nil {
			t.Fatalf("%s: %v", ok.name, err)
		}
		if v, err := c.final(t.Context(), id); err != nil || v.State != ok.state {
			t.Errorf("%s: %+v, %v", ok.name, v, err)
		}
	}
}
