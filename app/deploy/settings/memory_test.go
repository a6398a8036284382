package settings_test

import (
	"testing"

	"pgregory.net/rapid"

	"imagery/app/deploy/settings"
)

const MiB = 1 << 20

// TestPlanWorker: cores decide as long as memory allows.
func TestPlanWorker(t *testing.T) {
	largest := settings.LargestPeak(settings.DefaultMaxPixels)
	for _, c := range []struct {
		cores          int
		memory         int64
		slots, waiting int
		photos         int64 // at least
	}{
		{1, 64 * MiB, 1, 0, 20 * MiB}, {8, 128 * MiB, 1, 0, 84 * MiB}, {2, 256 * MiB, 1, 0, 200 * MiB},
		{2, 512 * MiB, 2, 2, 400 * MiB}, {1, 1 << 30, 2, 2, 900 * MiB}, {2, 1228 * MiB, 2, 2, largest},
		{8, 1256 * MiB, 8, 8, largest},
		{64, 16 << 30, 64, 64, 13 << 30},
	} {
		p := settings.PlanWorker(c.cores, c.memory, settings.DefaultMaxPixels)
		if p.Slots != c.slots || p.Waiting != c.waiting || p.Photos < c.photos {
			t.Errorf("%d cores, %d MiB: %d slots, %d waiting, %d MiB for photos; want %d, %d, %d", c.cores, c.memory/MiB,
				p.Slots, p.Waiting, p.Photos/MiB, c.slots, c.waiting, c.photos/MiB)
		}
	}
}

// TestPlansStayWithinTheMemory: whatever there is, no plan hands out more, and each can do its work.
func TestPlansStayWithinTheMemory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cores := rapid.IntRange(1, 256).Draw(t, "cores")
		pixels := rapid.Int64Range(1, 1<<32).Draw(t, "pixels")
		memory := rapid.Int64Range(settings.MinMemory, 1<<40).Draw(t, "memory")
		w := settings.PlanWorker(cores, memory, pixels)
		if w.Slots < 1 || w.Waiting < 0 || w.Photos < 20*MiB || settings.ProcessBase+w.Files()+w.Photos > memory {
			t.Errorf("a worker with %d MiB: %+v", memory/MiB, w)
		}
		local := rapid.Int64Range(256*MiB, 1<<40).Draw(t, "local")
		p := settings.PlanLocal(cores, local, pixels)
		all := 5*settings.LocalBase + 2*p.Worker.Files() + p.Uploads + p.Photos + local/settings.LocalConnections
		if p.Uploads < 2*settings.MaxUploadBytes || p.Photos < 40*MiB || p.Worker.Photos != p.Photos || all > local {
			t.Errorf("a fleet with %d MiB hands out %d: %+v", local/MiB, all/MiB, p)
		}
	})
}
