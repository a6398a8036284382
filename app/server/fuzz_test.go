package server

import (
	"bytes"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"imagery/app/imagery"
)

// FuzzUpload sends arbitrary bodies to the upload route. The status must be one that the API defines, an error must
// change nothing, and an accepted photo must be stored under the hash of exactly its bytes.
func FuzzUpload(f *testing.F) {
	jpg := jpegPhoto(1)
	for _, parts := range [][]part{
		{file("a.jpg", jpg)},
		{file("a.png", pngPhoto()), file("b.jpg", jpg)},
		{field("a", []byte("x")), file("a.jpg", jpg)},
		{field("a", jpg)},
		{file("a.jpg", jpg[:50])},
		{file("", nil)},
		{file("a.jpg", []byte("\r\n--"+boundary))},
		{part{`form-data; name="`, jpg}},
		{part{`form-data; filename="a"b"`, jpg}},
		{file("a.png", gigapixels())},
	} {
		body, contentType := form(parts...)
		f.Add(body, contentType)
		f.Add(body[:len(body)-8], contentType)
		f.Add(bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n")), contentType)
	}
	f.Add([]byte("preamble\r\n--x\r\n\r\n--x--"), "multipart/form-data; boundary=x")
	f.Add([]byte("--\r\n"), `multipart/form-data; boundary=""`)
	f.Add([]byte("--x"), "multipart/mixed; boundary=x")

	w := newFakes()
	s := newServer(options(w, io.Discard), testTimeouts())
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		for _, key := range w.blobs.Keys() {
			w.blobs.Remove(key)
		}
		w.queue.Purge()
		id := w.put(imagery.Image{}).ID
		defer w.catalog.Remove(id)
		r := httptest.NewRequest("POST", "/image/"+id+"/upload", bytes.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		out := httptest.NewRecorder()
		s.ServeHTTP(out, r)
		switch out.Code {
		case 202:
			key := w.item(id).RawKey
			stored, err := w.blobs.Get(t.Context(), key, maxForm)
			if objects, messages := w.written(); err != nil || key != keyOf(id, stored) || objects != 1 || messages != 1 {
				t.Errorf("key %q, %d objects, %d messages, %v", key, objects, messages, err)
			}
			if _, err := sniff(stored); err != nil || inspect(bytes.NewReader(stored)) != nil || !bytes.Contains(body, stored) {
				t.Errorf("accepted %q", stored)
			}
		case 400, 413, 415, 422:
			if objects, messages := w.written(); objects+messages != 0 || w.item(id).State != imagery.Created {
				t.Errorf("%d wrote %d objects, %d messages, %+v", out.Code, objects, messages, w.item(id))
			}
			if !strings.Contains(out.Body.String(), `"detail":"`) {
				t.Errorf("%d %s", out.Code, out.Body)
			}
		default:
			t.Errorf("status %d: %s", out.Code, out.Body)
		}
		if n := s.inUse(); n != 0 {
			t.Errorf("%d blocks were not released", n)
		}
	})
}
