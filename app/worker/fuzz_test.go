package worker_test

import (
	"strings"
	"testing"

	"imagery/app/imagery"
)

// FuzzSQS posts arbitrary messages. The answer is 200 or 400, and only a valid hint changes an image: the uploaded
// image that it names.
func FuzzSQS(f *testing.F) {
	w := newWorld()
	w.filter.takes = 0
	url := w.serve(f, false)
	for _, seed := range []string{``, `{}`, `{"imageId":"UPLOADED","desiredState":"processed"}`,
		`{"imageId":"CREATED","desiredState":"processed"}`, `{"imageId":"UPLOADED","desiredState":"failed"}`,
		`{"imageId":null,"desiredState":"processed"}`, `[1]`, "\x00\xff",
		`{"imageId":"UPLOADED","desiredState":"processed","rawS3Key":{}}`,
		`{"imageId":"UPLOADED","desiredState":"processed","rawS3Key":"upload/x"}`} {
		f.Add(seed, "1")
		f.Add(seed, "9")
	}
	f.Fuzz(func(t *testing.T, body, receives string) {
		if strings.ContainsFunc(receives, func(r rune) bool { return r < ' ' || r > '~' }) {
			receives = ""
		}
		uploaded := w.upload(t, "photo")
		created, _, err := w.Create(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		body = strings.NewReplacer("UPLOADED", uploaded, "CREATED", created.ID).Replace(body)
		got := post(t, url, body, receives)
		if got != 200 && got != 400 {
			t.Errorf("%q: %d", body, got)
		}
		want := imagery.Uploaded
		if h, err := imagery.ParseHint([]byte(body)); err == nil && h.ImageID == uploaded && got == 200 {
			want = imagery.Processed
		}
		if state := w.state(t, uploaded); state != want {
			t.Errorf("%q: answered %d, the image is %s and should be %s", body, got, state, want)
		}
		if state := w.state(t, created.ID); state != imagery.Created {
			t.Errorf("%q: an image without a photo is %s", body, state)
		}
	})
}
