package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color/palette"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	api "imagery/app/client"
	"imagery/app/deploy/settings"
	"imagery/app/imagery"
	"imagery/app/sepia"
)

// sizes are the sizes of the photos of small machines, in pixels. For each, one photo of every kind is sent.
var sizes = [][2]int{{4000, 3000}, {4000, 12_500}, {1200, 900}, {4000, 6000}}

// sample is a photo for a small machine.
type sample struct {
	kind
	width, height int
	body          []byte
	refusal       string // the error that the memory plan implies; empty if the photo is accepted
}

// name returns the kind and the size.
func (s sample) String() string { return fmt.Sprintf("%s %d x %d", s.name, s.width, s.height) }

// samples returns the first n photos.
func samples(t testing.TB, n int) (list []sample) {
	for i := range n {
		size := sizes[i/len(kinds)%len(sizes)]
		s := sample{kind: kinds[i%len(kinds)], width: size[0], height: size[1]}
		if once := len(kinds) * len(sizes); i >= once {
			s = list[i-once]
		} else {
			s.body = s.build(t, s.width, s.height)
		}
		list = append(list, s)
	}
	return list
}

// planned returns the samples with the error that each has to get from a local fleet with so many bytes.
func planned(t testing.TB, list []sample, bytesOfFleet int64) []sample {
	plan := settings.PlanLocal(runtime.GOMAXPROCS(0), bytesOfFleet, settings.DefaultMaxPixels)
	filter := sepia.Filter{MaxMemory: plan.Photos}
	list = slices.Clone(list)
	for i, s := range list {
		var bad *imagery.BadPhoto
		if _, err := filter.Check(bytes.NewReader(s.body)); errors.As(err, &bad) {
			list[i].refusal = bad.Reason
		} else if err != nil || len(s.body) > settings.MaxUploadBytes {
			t.Fatalf("%v of %d bytes: %v", s, len(s.body), err)
		}
	}
	return list
}

// percent of the limit of a group is the memory that a fleet plans with.
const percent = 60

// TestSmallMachine runs the fleet with default settings in little memory without swap, and sends photos of all kinds
// and sizes at once. No photo may be lost and no process killed: each photo is processed, or refused with a size that
// would be accepted. Which ones are refused follows from the memory plan.
func TestSmallMachine(t *testing.T) {
	t.Parallel()
	for _, mib := range []int64{512, 1024} {
		t.Run(fmt.Sprintf("%d MiB", mib), func(t *testing.T) {
			g := newCgroup(t, mib<<20)
			p := startBy(t, g.by(), t.TempDir(), nil)
			n := 24
			if long() {
				n = 200
			}
			smallMachine(t, p, planned(t, samples(t, n), mib<<20/100*percent))
			t.Log(peaks(t, p))
			p.stop(t)
			if n := g.kills(t); n != "0" {
				t.Errorf("the kernel killed %s processes", n)
			}
			t.Logf("the group held up to %d of %d MiB, page cache included; the kernel freed some %s times",
				g.peak(t)>>20, mib, g.refills(t))
		})
	}
}

// peaks describes the peak resident memory of each process of a fleet.
func peaks(t *testing.T, p *program) string {
	t.Helper()
	text := fmt.Sprintf("peak resident memory in MiB: balancer %d", peak(t, p.cmd.Process.Pid))
	for _, c := range p.children(t) {
		text += fmt.Sprintf(", %s %d", c.role, peak(t, c.pid))
	}
	return text
}

// TestMemoryLimitVariable does the same with GOMEMLIMIT, which sets the memory plan of the fleet where there is no
// cgroup.
func TestMemoryLimitVariable(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), []string{"GOMEMLIMIT=512MiB"})
	smallMachine(t, p, planned(t, samples(t, 24), 512<<20/100*percent))
	total := 0
	for _, c := range append(p.children(t), child{pid: p.cmd.Process.Pid}) {
		total += peak(t, c.pid)
	}
	const shared = 5 * 20 // the binary itself, which each process counts
	if total > 512+shared {
		t.Errorf("the processes held up to %d MiB", total)
	}
}

// smallMachine sends all samples at once and waits until each is processed, or refused as planned. It then sends the
// refused kinds again, in the size that the error names.
func smallMachine(t *testing.T, p *program, list []sample) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Duration(len(list))*10*time.Second)
	defer cancel()
	c := newClient(t, p.url)
	c.ready(ctx, p)
	children := fmt.Sprint(p.children(t))
	began := time.Now()
	outcomes := c.send(ctx, list)
	t.Logf("%d photos took %.0f s\n%s", len(list), time.Since(began).Seconds(), table(list, outcomes))
	c.send(ctx, advised(t, list))
	if now := fmt.Sprint(p.children(t)); now != children {
		t.Errorf("the processes were %s and are %s", children, now)
	}
}

// advised returns a photo of each refused kind and size, in the size that the error names.
func advised(t *testing.T, list []sample) (smaller []sample) {
	t.Helper()
	known := map[string]bool{}
	for _, s := range list {
		if s.refusal == "" || known[s.String()] {
			continue
		}
		known[s.String()] = true
		_, advice, _ := strings.Cut(s.refusal, "Of this kind, ")
		if _, err := fmt.Sscanf(advice, "%d x %d pixels would pass", &s.width, &s.height); err != nil {
			t.Errorf("%v is refused without advice: %s", s, s.refusal)
			continue
		}
		s.body, s.refusal = s.build(t, s.width, s.height), ""
		smaller = append(smaller, s)
	}
	return smaller
}

// Outcomes of a sample.
const (
	sent      = iota // all of them
	processed        // as planned
	refused          // as planned
	unplanned        // anything else
)

// send uploads all samples at once and returns their outcomes.
func (c *client) send(ctx context.Context, list []sample) (outcomes []int) {
	outcomes = make([]int, len(list))
	var all sync.WaitGroup
	for i, s := range list {
		all.Go(func() {
			refusal, err := c.process(ctx, s.body)
			switch {
			case err != nil:
				c.t.Errorf("%v: %v", s, err)
				outcomes[i] = unplanned
			case refusal != s.refusal:
				c.t.Errorf("%v: the refusal is %q, want %q", s, refusal, s.refusal)
				outcomes[i] = unplanned
			case refusal != "":
				outcomes[i] = refused
			default:
				outcomes[i] = processed
			}
		})
	}
	all.Wait()
	return outcomes
}

// table counts the outcomes of each kind and lists the sizes that were refused.
func table(list []sample, outcomes []int) string {
	counts := map[string][unplanned + 1]int{}
	sizes := map[string]string{}
	for i, s := range list {
		for _, name := range []string{s.name, "all"} {
			n := counts[name]
			n[sent]++
			n[outcomes[i]]++
			counts[name] = n
		}
		if size := fmt.Sprintf("%d x %d", s.width, s.height); outcomes[i] == refused &&
			!strings.Contains(sizes[s.name], size) {
			sizes[s.name] += " " + size
		}
	}
	text := fmt.Sprintf("%-30s %5s %9s %7s %9s\n", "kind", "sent", "processed", "refused", "unplanned")
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		n := counts[name]
		text += fmt.Sprintf("%-30s %5d %9d %7d %9d %s\n", name, n[sent], n[processed], n[refused], n[unplanned],
			sizes[name])
	}
	return text
}

// process uploads a photo and waits for its result. It returns the error for the user if the photo is refused.
func (c *client) process(ctx context.Context, body []byte) (refusal string, err error) {
	img, err := c.Create(ctx, imagery.NewID())
	if err == nil {
		img, err = c.Upload(ctx, img.ID, "photo", body)
	}
	if s := (*api.StatusError)(nil); errors.As(err, &s) && s.Status == http.StatusUnprocessableEntity {
		refusal, _, _ = strings.Cut(s.Message, " (request ")
		return refusal, nil
	}
	if err == nil {
		img, err = c.Wait(ctx, img)
	}
	if err == nil && img.State != "processed" {
		err = fmt.Errorf("%s: %s", img.State, img.Error)
	}
	return "", err
}

// TestPhotoMemory checks that a server refuses at upload what its workers have too little memory for, and that the size
// in the error is accepted.
func TestPhotoMemory(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p := start(t, t.TempDir(), nil, "-memory", "64MiB", "-photo-memory", "19MiB")
	c := newClient(t, p.url)
	c.ready(ctx, p)
	gif := func(w, h int) []byte { return encodeGIF(t, image.NewPaletted(image.Rect(0, 0, w, h), palette.Plan9)) }
	refusal, err := c.process(ctx, gif(2400, 1800))
	var width, height int
	_, text, _ := strings.Cut(refusal, "Of this kind, ")
	if _, scan := fmt.Sscanf(text, "%d x %d pixels would pass", &width, &height); err != nil || scan != nil {
		t.Fatalf("%q: %v, %v", refusal, err, scan)
	}
	if refusal, err := c.process(ctx, gif(width, height)); err != nil || refusal != "" {
		t.Errorf("%d x %d: %s, %v", width, height, refusal, err)
	}
}
