package imagery_test

import (
	"errors"
	"strings"
	"testing"

	"imagery/app/imagery"
)

func TestTransitions(t *testing.T) {
	states := []imagery.State{imagery.Created, imagery.Uploaded, imagery.Processed, imagery.Failed}
	legal := "created>uploaded uploaded>processed uploaded>failed failed>uploaded failed>processed "
	for _, from := range states {
		for _, to := range states {
			move := string(from) + ">" + string(to) + " "
			if got, want := imagery.CanMove(from, to), strings.Contains(legal, move); got != want {
				t.Errorf("CanMove(%s, %s) = %t, want %t", from, to, got, want)
			}
		}
	}
}

func TestParseID(t *testing.T) {
	const id = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
	for _, ok := range []string{id, strings.ToUpper(id), imagery.NewID(), "00000000-0000-0000-0000-000000000000"} {
		if got, err := imagery.ParseID(ok); err != nil || got != strings.ToLower(ok) {
			t.Errorf("ParseID(%q) = %q, %v", ok, got, err)
		}
	}
	for _, bad := range []string{"", "x", id + "0", id[1:], strings.ReplaceAll(id, "-", ""), "{" + id[1:35] + "}",
		"urn:uuid:" + id, strings.Replace(id, "a", "g", 1), strings.Replace(id, "-", "0", 1), "../" + id[3:],
		id[:35] + "\n"} {
		if _, err := imagery.ParseID(bad); !errors.Is(err, imagery.ErrInvalidID) {
			t.Errorf("ParseID(%q) = %v, want ErrInvalidID", bad, err)
		}
	}
}

func TestParseHint(t *testing.T) {
	const id = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
	good := []string{
		`{"imageId":"` + id + `","desiredState":"processed"}`,
		`{"imageId":"` + strings.ToUpper(id) + `","desiredState":"processed","rawS3Key":"upload/x","more":[1]}`,
	}
	for _, body := range good {
		if h, err := imagery.ParseHint([]byte(body)); err != nil || h.ImageID != id {
			t.Errorf("ParseHint(%s) = %+v, %v", body, h, err)
		}
	}
	for _, body := range []string{``, `null`, `[]`, `{}`, `{"imageId":"x","desiredState":"processed"}`,
		`{"imageId":"` + id + `"}`, `{"imageId":"` + id + `","desiredState":"resized"}`, `{"imageId":7}`} {
		if _, err := imagery.ParseHint([]byte(body)); !errors.Is(err, imagery.ErrBadHint) {
			t.Errorf("ParseHint(%s) = %v, want ErrBadHint", body, err)
		}
	}
}
