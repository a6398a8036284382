package settings

const (
	// LeastMemory is the smallest budget that may be asked for.
	LeastMemory = 64 << 20
	// ProcessBase is the memory of a process beside photos: the runtime, an SDK and 256 connections. An idle one was
	// measured with 6.5 MiB of memory of its own.
	ProcessBase = 24 << 20
	// RawFile is the memory of a worker's job beside that of its filter: the largest file.
	RawFile = MaxUploadBytes

	// Two lines in bytes per pixel bound what the filter holds for any legal photo: the first is a progressive
	// JPEG or an interlaced 16 bit PNG, the second a lossless WebP, whose tables are large even for a small
	// photo. A test holds them against the filter's own figures.
	peakPerPixel, peakBase     = 18, 24 << 20
	tablesPerPixel, tablesBase = 11, 272 << 20
)

// LargestPeak returns the most memory, in bytes, that one legal photo needs while it is processed.
func LargestPeak(maxPixels int64) int64 {
	return max(peakBase+maxPixels*peakPerPixel, tablesBase+maxPixels*tablesPerPixel)
}

// WorkerPlan says what a worker does with its memory.
type WorkerPlan struct {
	// Slots bounds the jobs that run at once, and Waiting those that may wait for memory beside them, so that cheap
	// photos need not wait behind dear ones. Each job keeps its raw file.
	Slots, Waiting int
	// Photos is the number of bytes that are left for the filter, and so the most that one photo may need.
	Photos int64
}

// PlanWorker plans a worker with so many cores and bytes: a job on each core, but two on one core, since one waits for
// the network while one works. There are more jobs only while the largest legal photo still fits beside their files; a
// worker that it does not fit anyway gives a sixth of its memory to files.
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
	leastUploads = 2 * MaxUploadBytes
	mostUploads  = 1 << 30
)

// PlanLocal plans a local fleet with so many bytes: the balancer, servers and workers on that many cores.
func PlanLocal(cores int, memory, maxPixels int64) LocalPlan {
	memory = max(memory, 4*LeastMemory)
	left := memory - memory/LocalConnections - (1+LocalServers+LocalWorkers)*ProcessBase
	p := LocalPlan{Worker: PlanWorker(cores, left/LocalWorkers+ProcessBase, maxPixels)}
	left -= LocalWorkers * p.Worker.Files()
	p.Uploads = min(max(left/4, leastUploads), mostUploads, left/2)
	p.Photos = left - p.Uploads
	p.Worker.Photos = p.Photos
	return p
}
