package settings

const (
	// MinMemory is the smallest value of --memory, in bytes.
	MinMemory = 64 << 20
	// ProcessBase is the memory of a process without photos, in bytes: the runtime, an SDK and 256 connections. An idle
	// process was measured with 6.5 MiB of private memory.
	ProcessBase = 24 << 20
	// LocalBase is ProcessBase for a process of a local fleet, which has no SDK: 9 MiB of private memory were measured.
	LocalBase = 16 << 20
	// RawFile is the memory of a job besides that of its filter, in bytes: the largest file.
	RawFile = MaxUploadBytes

	// A linear function of the number of pixels bounds the memory of the filter for any valid photo: up to 50 megapixels
	// that of a WebP with alpha, whose tables are large even for a small photo, beyond that of a progressive CMYK JPEG
	// that is turned. A test compares it with the filter.
	peakPerPixel, peakBase = 13, 272 << 20
)

// LargestPeak returns the most memory, in bytes, that one valid photo needs while it is processed.
func LargestPeak(maxPixels int64) int64 {
	return peakBase + maxPixels*peakPerPixel
}

// WorkerPlan says what a worker does with its memory.
type WorkerPlan struct {
	// Slots limits the jobs that run at once, and Waiting those that may wait for memory besides them, so that small
	// photos do not wait for large ones. Each job keeps its raw file in memory.
	Slots, Waiting int
	// Photos is the number of bytes left for the filter, and thus the most that one photo may need.
	Photos int64
}

// PlanWorker plans a worker with so many cores and bytes: a job on each core, but two on one core, since one waits for
// the network while one works. There are more jobs only while the largest valid photo still fits besides their files. A
// worker that is too small for that photo uses a sixth of its memory for files.
func PlanWorker(cores int, memory, maxPixels int64) WorkerPlan {
	left := memory - ProcessBase
	jobs := int(max(1, left/6/RawFile, (left-LargestPeak(maxPixels))/RawFile))
	p := WorkerPlan{Slots: min(max(2, cores), jobs)}
	p.Waiting = min(p.Slots, jobs-p.Slots)
	p.Photos = max(1, left-p.Files()) // 0 would be no limit
	return p
}

// Files returns the number of bytes that raw files may take.
func (p WorkerPlan) Files() int64 { return int64(p.Slots+p.Waiting) * RawFile }

// Numbers of processes of the local fleet. With two of each, any one may be killed without an outage.
const (
	LocalServers = 2
	LocalWorkers = 2
)

// LocalPlan says how the processes of a local fleet share its memory. Pools are leased by the processes that need
// them, see budget.Broker; the rest belongs to each process.
type LocalPlan struct {
	Worker  WorkerPlan // of each worker, but Photos is shared by all
	Uploads int64      // bytes of all uploads in flight
	Photos  int64      // bytes of all photos that are being processed
}

// LocalConnections is the part of the memory, one in so many, for connections of a local fleet beyond those that
// ProcessBase has room for.
const LocalConnections = 32

const (
	minUploads = 2 * MaxUploadBytes
	maxUploads = 1 << 30
)

// PlanLocal plans a local fleet with so many bytes: the balancer, servers and workers on that many cores.
func PlanLocal(cores int, memory, maxPixels int64) LocalPlan {
	memory = max(memory, 4*MinMemory)
	left := memory - memory/LocalConnections - (1+LocalServers+LocalWorkers)*LocalBase
	p := LocalPlan{Worker: PlanWorker(cores, left/LocalWorkers+ProcessBase, maxPixels)}
	left -= LocalWorkers * p.Worker.Files()
	p.Uploads = min(max(left/5, minUploads), maxUploads, left/2)
	p.Photos = left - p.Uploads
	p.Worker.Photos = p.Photos
	return p
}
