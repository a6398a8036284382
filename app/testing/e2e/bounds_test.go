package e2e

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	api "imagery/app/client"
	"imagery/app/imagery"
	"imagery/app/store/local"
)

// TestMostOfEverythingAtOnce opens more connections than the server accepts, each of which sends as much of a request
// as would be held without a limit. The server must not be killed in a cgroup of twice its memory budget, and must
// answer probes and an ordinary upload. docs/bounds.md lists the limits.
func TestMostOfEverythingAtOnce(t *testing.T) {
	const budget = 64 // MiB
	g := newCgroup(t, 2*budget<<20)
	data := t.TempDir()
	result := folderWithResult(t, data)
	p := startBy(t, g.by(), data, nil, "-role", "server", "-memory", fmt.Sprint(budget, "MiB"))
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	c := newClient(t, p.url)
	var ids []string
	for range 10 {
		ids = append(ids, c.create(ctx))
	}
	honest := append(encodeJPEG(t, scene(1, 400, 300)), make([]byte, 10<<20)...)
	contentType, body := api.Form("photo", honest)
	upload := func(i, length int, part []byte) net.Buffers {
		head := fmt.Appendf(nil, "POST /image/%s/upload HTTP/1.1\r\nHost: x\r\n"+
			"Content-Type: %s\r\nContent-Length: %d\r\n\r\n",
			ids[i%len(ids)], contentType, length)
		return net.Buffers{head, part}
	}
	text := func(parts ...string) net.Buffers { return net.Buffers{[]byte(strings.Join(parts, ""))} }
	var fields strings.Builder
	for i := range 7000 {
		fmt.Fprintf(&fields, "%x:\r\n", i)
	}
	wide := "X-Wide: " + strings.Repeat("x", 30<<10) + "\r\n"
	blanks := strings.Repeat(" ", 999_999)
	_, tiny := api.Form("photo", encodeJPEG(t, scene(1, 40, 30)))
	end := bytes.LastIndex(tiny, []byte("--\r\n"))
	trailing := append(tiny[:end:end], "\r\nX: "+strings.Repeat("x", 8<<20)...)
	for name, send := range map[string]func(int) net.Buffers{
		"headers of many fields": func(int) net.Buffers {
			return text("GET / HTTP/1.1\r\nHost: x\r\n",
				fields.String()[:30<<10])
		},
		"long headers": func(int) net.Buffers { return text("GET / HTTP/1.1\r\nHost: x\r\n", wide) },
		"waits with long headers": func(i int) net.Buffers {
			return text("GET /image/", ids[i%len(ids)], "?wait=20s HTTP/1.1\r\nHost: x\r\n", wide, "\r\n")
		},
		"creates that do not end": func(int) net.Buffers {
			return text("POST /image HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n", blanks)
		},
		"photos that do not end":      func(i int) net.Buffers { return upload(i, len(body), body[:8<<20]) },
		"tiny photos that do not end": func(i int) net.Buffers { return upload(i, len(tiny), tiny[:end-10]) },
		"headers behind the photo":    func(i int) net.Buffers { return upload(i, 10<<20, trailing) },
		"results that are not read": func(int) net.Buffers {
			return text("GET /image/", result, "/processed HTTP/1.1\r\nHost: x\r\n\r\n")
		},
	} {
		for i := range 80 {
			conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			defer conn.Close()
			request := send(i)
			go request.WriteTo(conn) // as much of it as the server reads
		}
	}
	probe := func(path string) bool {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		res, err := c.Do(ctx, http.MethodGet, path, nil, func(req *http.Request) { req.Close = true })
		return err == nil && res.Status == http.StatusOK
	}
	for range 20 {
		if !probe("/healthz") {
			t.Error("a probe got no answer")
		}
	}
	if err := c.upload(ctx, imagery.NewID(), photo{name: "honest", body: honest}); err != nil {
		t.Errorf("an honest upload: %v", err)
	}
	if n := g.kills(t); n != "0" {
		t.Errorf("the kernel killed %s processes", n)
	}
	held := peak(t, p.cmd.Process.Pid)
	t.Logf("the process held up to %d MiB with a budget of %d, its own binary included", held, budget)
	const binary = 32 // MiB: the binary, which the kernel counts as the process's, and garbage
	if held > budget+binary {
		t.Errorf("the process held up to %d MiB with a budget of %d", held, budget)
	}
}

// folderWithResult makes a data folder with one processed image, whose result has 5 MiB, and returns its id.
func folderWithResult(t *testing.T, data string) (id string) {
	t.Helper()
	if err := local.Prepare(data); err != nil {
		t.Fatal(err)
	}
	o := local.Options{Dir: data, Visibility: time.Second, MaxReceives: 2, Log: slog.New(slog.DiscardHandler)}
	s, err := local.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	img := imagery.Image{ID: imagery.NewID(), State: imagery.Processed, Created: time.Now(), Updated: time.Now()}
	img.RawKey, img.ProcessedKey = imagery.RawKey(img.ID, "00"), imagery.ProcessedKey(img.ID, "00", "png")
	body := make([]byte, 5<<20)
	err = s.Blobs().Put(t.Context(), img.ProcessedKey, "image/png", bytes.NewReader(body), int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Catalog().Create(t.Context(), img, time.Now()); err != nil {
		t.Fatal(err)
	}
	return img.ID
}
