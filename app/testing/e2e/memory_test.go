package e2e

import (
	"fmt"
	"image"
	"image/color/palette"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	api "imagery/app/client"
	"imagery/app/imagery"
)

// peak returns the peak resident memory of the process in MiB, from the kernel.
func peak(t testing.TB, pid int) int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.Atoi(strings.Fields(v)[0])
			if err != nil {
				t.Fatal(err)
			}
			return kib >> 10
		}
	}
	t.Fatalf("no VmHWM of %d", pid)
	return 0
}

// TestSlowClients sends 64 photos of 20 MiB very slowly. The server must stay within its memory budget and accept other
// uploads.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	const budget = 160 // MiB; the 64 photos together are 1,280
	p := start(t, t.TempDir(), nil, "-role", "server", "-memory", strconv.Itoa(budget)+"MiB")
	c := newClient(t, p.url)
	contentType, body := api.Form("photo", append(encodeJPEG(t, scene(1, 400, 300)), make([]byte, 19<<20)...))
	var slow sync.WaitGroup
	stop := make(chan struct{})
	var connected sync.WaitGroup
	for range 64 {
		id := c.create(t.Context())
		connected.Add(1)
		slow.Go(func() {
			conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
			if err != nil {
				t.Error(err)
				connected.Done()
				return
			}
			defer conn.Close()
			fmt.Fprintf(conn, "POST /image/%s/upload HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", id,
				contentType, len(body))
			conn.Write(body[:8<<10])
			connected.Done()
			for at := 8 << 10; ; at += 8 << 10 {
				select {
				case <-stop:
					return
				case <-time.After(100 * time.Millisecond):
				}
				if _, err := conn.Write(body[at : at+8<<10]); err != nil {
					t.Errorf("a slow client was cut: %v", err)
					return
				}
			}
		})
	}
	connected.Wait()
	quick := append(encodeJPEG(t, scene(2, 400, 300)), make([]byte, 6<<20)...)
	for i := range 20 {
		if err := c.upload(t.Context(), imagery.NewID(), photo{name: "quick", body: quick}); err != nil {
			t.Fatalf("upload %d beside the slow ones: %v", i, err)
		}
	}
	close(stop)
	slow.Wait()
	if got := peak(t, p.cmd.Process.Pid); got > budget {
		t.Errorf("the server's memory reached %d MiB with a budget of %d", got, budget)
	} else {
		t.Logf("64 slow clients and 20 quick ones: peak %d MiB of %d", got, budget)
	}
}

// BenchmarkMemory prints the memory table of the README: idle processes, and the peak of a worker that processes one of
// the largest accepted photos.
func BenchmarkMemory(b *testing.B) {
	for _, k := range []struct {
		name string
		make func() []byte
	}{
		{"idle", nil},
		{"jpeg", func() []byte { return encodeJPEG(b, scene(1, 8600, 5800)) }},
		{"png", func() []byte { return encodePNG(b, scene(1, 8600, 5800)) }},
		{"png-16bit", func() []byte { return encodePNG(b, image.NewNRGBA64(image.Rect(0, 0, 10_000, 5_000))) }},
		{"png-paletted", func() []byte {
			return encodePNG(b, image.NewPaletted(image.Rect(0, 0, 10_000, 5_000), palette.WebSafe))
		}},
		{"jpeg-turned", func() []byte { return grainyJPEG(6)(b, 10_000, 5_000) }},
		{"jpeg-progressive", func() []byte { return flatJPEG(true, "123", 0x22, 0x11, 0x11)(b, 10_000, 5_000) }},
		{"png-interlaced", func() []byte { return pngOf(16, 6, 1, 0, true)(b, 4_000, 12_500) }},
		{"webp", func() []byte { return lossyWebP(b, 10_000, 5_000) }},
		{"webp-lossless", func() []byte { return losslessWebP(b, 10_000, 5_000) }},
	} {
		b.Run(k.name, func(b *testing.B) {
			var body []byte
			if k.make != nil {
				body = k.make()
			}
			for b.Loop() {
				server, worker := measure(b, body)
				b.ReportMetric(float64(server), "server-MiB")
				b.ReportMetric(float64(worker), "worker-MiB")
			}
		})
	}
}

// measure runs a fleet, processes a photo if there is one, and returns the peak memory of its processes.
func measure(b *testing.B, body []byte) (server, worker int) {
	p := start(b, b.TempDir(), nil, "-queue-chaos", "0") // a second delivery at the same time would count twice
	c := newClient(b, p.url)
	c.ready(b.Context(), p)
	if body != nil {
		id := imagery.NewID()
		if err := c.upload(b.Context(), id, photo{name: "large", body: body}); err != nil {
			b.Fatal(err)
		}
		if v, err := c.final(b.Context(), id); err != nil || v.State != "processed" {
			b.Fatalf("%+v, %v", v, err)
		}
	}
	for _, child := range p.children(b) {
		if n := peak(b, child.pid); child.role == "server" {
			server = max(server, n)
		} else {
			worker = max(worker, n)
		}
	}
	p.stop(b)
	return server, worker
}
