package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"imagery/app/admin/fsck"
	"imagery/app/imagery"
)

// testSeed returns the seed of the random queue behaviour of a run: IMAGERY_TEST_SEED, or a new one.
var testSeed = sync.OnceValue(func() int64 {
	if v := os.Getenv("IMAGERY_TEST_SEED"); v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n == 0 {
			panic("IMAGERY_TEST_SEED is not a number other than 0: " + v)
		}
		return n
	}
	return 1 + rand.Int64N(1<<31)
})

// withQueueChaos adds the flag that makes a local queue repeat, delay and reorder messages. Tests that set the queue's
// own flags count deliveries and decide about chaos themselves.
func withQueueChaos(t testing.TB, args []string) []string {
	t.Helper()
	for _, own := range []string{"-table", "-visibility", "-queue-chaos"} {
		if slices.Contains(args, own) {
			return args
		}
	}
	t.Logf("the queue misbehaves with the seed %d; IMAGERY_TEST_SEED=%[1]d replays it", testSeed())
	return append(slices.Clone(args), "-queue-chaos", strconv.FormatInt(testSeed(), 10))
}

// job is the log line of a worker about one delivery.
type job struct {
	Msg, Image, Outcome, Error string
	Receives                   int
}

// jobs reads the deliveries from the log of a fleet, whose lines begin with the name of a process, or of a worker.
func (p *program) jobs(t *testing.T) (list []job) {
	t.Helper()
	data, err := os.ReadFile(p.log)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Bytes()
		if !bytes.HasPrefix(line, []byte("{")) {
			_, line, _ = bytes.Cut(line, []byte(" | "))
		}
		var j job
		if json.Unmarshal(line, &j) == nil && j.Msg == "job" {
			list = append(list, j)
		}
	}
	return list
}

// awaitEmptyQueue waits until no message is waiting or in flight, and returns the stored state.
func awaitEmptyQueue(ctx context.Context, t *testing.T, data string) fsck.Snapshot {
	t.Helper()
	for {
		s, err := fsck.Local(data)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(s.Messages, func(m fsck.Message) bool { return !m.Dead }) {
			return s
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%d messages are left", len(s.Messages))
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// TestAdversarialQueue delivers hints twice, late, reordered, and again after their deletion. Every photo must be
// finished exactly once.
func TestAdversarialQueue(t *testing.T) {
	t.Parallel()
	const count = 60
	seed := strconv.FormatInt(testSeed(), 10)
	t.Logf("the seed is %s; IMAGERY_TEST_SEED=%[1]s replays it", seed)
	data := t.TempDir()
	p := start(t, data, nil, "-visibility", "5s", "-queue-chaos", seed)
	c := newClient(t, p.url)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	var uploads sync.WaitGroup
	next := make(chan photo)
	for range 6 {
		uploads.Go(func() {
			for photo := range next {
				if err := c.upload(ctx, imagery.NewID(), photo); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, photo := range photos(t, count) {
		next <- photo
	}
	close(next)
	uploads.Wait()
	c.checkUploads(ctx, 4*time.Minute)
	s := awaitEmptyQueue(ctx, t, data)
	p.stop(t)
	reportFindings(t, s)
	checkProcessedOnce(t, s, count)

	settled, again, all := 0, 0, p.jobs(t)
	for _, j := range all {
		if o := imagery.Outcome(j.Outcome); o == imagery.Done || o == imagery.PermanentFailure {
			settled++
		}
		if j.Receives > 1 {
			again++
		}
	}
	t.Logf("%d deliveries of %d photos, %d of them a repetition", len(all), count, again)
	if settled != count {
		t.Errorf("%d photos were settled %d times", count, settled)
	}
	if len(all) < count*5/4 || again < count/8 {
		t.Errorf("%d deliveries, %d repeated: too few repetitions for a meaningful run", len(all), again)
	}
}

// checkProcessedOnce checks that count images were uploaded, and that each was finished once, with one result at most.
func checkProcessedOnce(t *testing.T, s fsck.Snapshot, count int) {
	t.Helper()
	if len(s.Items) != count {
		t.Errorf("%d images, want %d", len(s.Items), count)
	}
	processed, results := 0, 0
	for _, i := range s.Items {
		if i.Version != 2 || len(i.History) != 2 {
			t.Errorf("image %s has version %d after %v", i.ID, i.Version, i.History)
		}
		if i.State == "processed" {
			processed++
		}
	}
	for key := range s.Objects {
		if strings.HasPrefix(key, "processed/") {
			results++
		}
	}
	if processed != results {
		t.Errorf("%d processed images have %d results", processed, results)
	}
}
