package e2e

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/color/palette"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	api "imagery/app/client"
	"imagery/app/imagery"
)

// cgroup is a Linux control group, of version 1 or 2, with a memory limit.
type cgroup struct {
	dir string
	v2  bool
}

// cgroups counts the groups of this process, for their names.
var cgroups atomic.Int64

// newCgroup makes a group with that many bytes of memory and no swap, or skips the test where that is impossible.
func newCgroup(t *testing.T, bytes int64) cgroup {
	t.Helper()
	name := fmt.Sprintf("imagery-test-%d-%d", os.Getpid(), cgroups.Add(1))
	g := cgroup{dir: filepath.Join("/sys/fs/cgroup/memory", name)}
	limits := []string{"memory.limit_in_bytes", "memory.memsw.limit_in_bytes"}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		g = cgroup{filepath.Join("/sys/fs/cgroup", name), true}
		limits = []string{"memory.max", "memory.swap.max"}
		bytesOf := map[string]int64{"memory.max": bytes, "memory.swap.max": 0}
		_ = os.WriteFile("/sys/fs/cgroup/cgroup.subtree_control", []byte("+memory"), 0o644) // it may be on already
		return g.make(t, limits, bytesOf)
	}
	return g.make(t, limits, map[string]int64{limits[0]: bytes, limits[1]: bytes})
}

func (g cgroup) make(t *testing.T, limits []string, bytes map[string]int64) cgroup {
	t.Helper()
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		skipUnlessRequired(t, "needs root and a memory cgroup: "+err.Error())
	}
	t.Cleanup(func() {
		if err := os.Remove(g.dir); err != nil {
			t.Error(err)
		}
	})
	for i, name := range limits {
		err := os.WriteFile(filepath.Join(g.dir, name), []byte(strconv.FormatInt(bytes[name], 10)), 0o644)
		if err != nil && !(i == 1 && errors.Is(err, os.ErrNotExist)) { // a kernel without accounting of swap
			skipUnlessRequired(t, "needs root and a memory cgroup: "+err.Error())
		}
	}
	return g
}

// by returns the command that runs another command in the group.
func (g cgroup) by() []string {
	return []string{"/bin/sh", "-c", `echo $$ > "$0" && exec "$@"`, filepath.Join(g.dir, "cgroup.procs")}
}

// peak returns the peak memory of the group in bytes, page cache included.
func (g cgroup) peak(t *testing.T) int64 {
	t.Helper()
	name := "memory.max_usage_in_bytes"
	if g.v2 {
		name = "memory.peak"
	}
	text, err := os.ReadFile(filepath.Join(g.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// kills returns how many processes of the group the kernel killed for their memory.
func (g cgroup) kills(t *testing.T) string {
	t.Helper()
	name := "memory.oom_control"
	if g.v2 {
		name = "memory.events"
	}
	text, err := os.ReadFile(filepath.Join(g.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			return strings.TrimSpace(n)
		}
	}
	t.Fatalf("no oom_kill in %s", text)
	return ""
}

// skipUnlessRequired skips a test that cannot run here, or fails it when REQUIRE_ALL=1.
func skipUnlessRequired(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("REQUIRE_ALL") == "1" {
		t.Fatal(why)
	}
	t.Skip("SKIPPED, REQUIRE_ALL=1 makes this a failure: ", why)
}

// mixed returns photos of many kinds of up to 50 megapixels, made once.
var mixed = sync.OnceValue(func() (list []photo) {
	t := &testing.T{} // nothing here fails but by a fault of the test
	add := func(name string, body []byte) {
		if len(body) > 20<<20 {
			panic(name + " is too large")
		}
		list = append(list, photo{name: name, body: body})
	}
	for i, side := range [][2]int{{400, 300}, {1200, 900}, {2400, 1800}, {4000, 3000}, {8000, 6200}} {
		w, h := side[0], side[1]
		m := scene(uint64(i), w, h)
		add(fmt.Sprintf("JPEG %dx%d", w, h), encodeJPEG(t, m))
		if w < 8000 {
			add(fmt.Sprintf("noisy JPEG %dx%d", w, h), encodeJPEG(t, noisy(m, uint64(i))))
		}
		flat := image.NewNRGBA(image.Rect(0, 0, w, h))
		deep := image.NewNRGBA64(image.Rect(0, 0, w, h))
		for x := range w {
			flat.SetNRGBA(x, x%h, color.NRGBA{uint8(x), 9, 9, 255})
			deep.SetNRGBA64(x, x%h, color.NRGBA64{uint16(x), 9, 9, 0xffff})
		}
		add(fmt.Sprintf("PNG %dx%d", w, h), encodePNG(t, flat))
		add(fmt.Sprintf("16 bit PNG %dx%d", w, h), encodePNG(t, deep))
		add(fmt.Sprintf("GIF %dx%d", w, h), encodeGIF(t, image.NewPaletted(image.Rect(0, 0, w, h), palette.Plan9)))
	}
	return list
})

// TestSmallMachine runs the fleet with default settings in little memory without swap, and sends photos of all kinds
// and sizes at once. No photo may be lost and no process killed: each photo is processed, or refused with a size that
// would be accepted.
func TestSmallMachine(t *testing.T) {
	t.Parallel()
	for _, mib := range []int64{512, 1024} {
		t.Run(fmt.Sprintf("%d MiB", mib), func(t *testing.T) {
			g := newCgroup(t, mib<<20)
			p := startBy(t, g.by(), t.TempDir(), nil)
			n := map[int64]int{512: 25, 1024: 50}[mib]
			if long() {
				n *= 4
			}
			smallMachine(t, p, n)
			p.stop(t)
			if n := g.kills(t); n != "0" {
				t.Errorf("the kernel killed %s processes", n)
			}
			t.Logf("the group held up to %d of %d MiB, page cache included", g.peak(t)>>20, mib)
		})
	}
}

// TestMemoryLimitVariable does the same with GOMEMLIMIT, which sets the memory plan of the fleet where there is no
// cgroup.
func TestMemoryLimitVariable(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), []string{"GOMEMLIMIT=512MiB"})
	smallMachine(t, p, 25)
	total := 0
	for _, c := range append(p.children(t), child{pid: p.cmd.Process.Pid}) {
		total += peak(t, c.pid)
	}
	const shared = 5 * 20 // the binary itself, which each process counts
	if total > 512+shared {
		t.Errorf("the processes held up to %d MiB", total)
	}
}

// smallMachine sends n photos at once and waits for all results.
func smallMachine(t *testing.T, p *program, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	c := newClient(t, p.url)
	c.ready(ctx, p)
	kinds := mixed()
	children := fmt.Sprint(p.children(t))
	var all sync.WaitGroup
	var refused, processed atomic.Int64
	for i := range n {
		all.Go(func() {
			switch state, err := c.process(ctx, kinds[i%len(kinds)]); {
			case err != nil:
				t.Errorf("%s: %v", kinds[i%len(kinds)].name, err)
			case state == "refused":
				refused.Add(1)
			default:
				processed.Add(1)
			}
		})
	}
	all.Wait()
	if now := fmt.Sprint(p.children(t)); now != children {
		t.Errorf("the processes were %s and are %s", children, now)
	}
	if processed.Load() < int64(n)/2 {
		t.Errorf("only %d of %d photos were processed", processed.Load(), n)
	}
	t.Logf("%d photos processed, %d refused", processed.Load(), refused.Load())
}

// process uploads a photo and waits for its result, unless it is refused with a size that would be accepted.
func (c *client) process(ctx context.Context, p photo) (state string, err error) {
	img, err := c.Create(ctx, imagery.NewID())
	if err == nil {
		img, err = c.Upload(ctx, img.ID, "photo", p.body)
	}
	if api.Status(err) == http.StatusUnprocessableEntity && strings.Contains(err.Error(), "would pass") {
		return "refused", nil
	}
	if err == nil {
		img, err = c.Wait(ctx, img)
	}
	if err == nil && img.State != "processed" {
		err = fmt.Errorf("%s: %s", img.State, img.Error)
	}
	return img.State, err
}

// TestPhotoMemory checks that a server refuses at upload what its workers have too little memory for, and that the size
// in the error is accepted.
func TestPhotoMemory(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p := start(t, t.TempDir(), nil, "-memory", "64MiB", "-photo-memory", "19MiB")
	c := newClient(t, p.url)
	c.ready(ctx, p)
	gif := func(w, h int) photo {
		return photo{name: "GIF", body: encodeGIF(t, image.NewPaletted(image.Rect(0, 0, w, h), palette.Plan9))}
	}
	_, refused := c.Upload(ctx, c.create(ctx), "photo", gif(2400, 1800).body)
	if api.Status(refused) != http.StatusUnprocessableEntity {
		t.Fatal(refused)
	}
	var width, height int
	_, text, _ := strings.Cut(refused.Error(), "Of this kind, ")
	if _, err := fmt.Sscanf(text, "%d x %d pixels would pass", &width, &height); err != nil {
		t.Fatalf("%v: %v", refused, err)
	}
	if state, err := c.process(ctx, gif(width, height)); err != nil || state != "processed" {
		t.Errorf("%d x %d: %s, %v", width, height, state, err)
	}
}
