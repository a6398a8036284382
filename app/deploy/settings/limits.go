package settings

import "time"

// Numbers that several packages must agree on. infra renders or checks the AWS side of each.
const (
	// MaxUploadBytes is the largest photo; the multipart envelope may add UploadEnvelope.
	MaxUploadBytes = 20 << 20
	UploadEnvelope = 64 << 10
	// DefaultMaxPixels is the largest width x height unless --max-pixels is set.
	DefaultMaxPixels = 50_000_000

	// UploadTimeout bounds a request after its headers. It stays below the load balancer's deregistration
	// delay, so that draining never cuts an upload.
	UploadTimeout = 60 * time.Second
	// IdleTimeout of the server's connections is longer than the load balancer's (60 s): the side that closes
	// an idle connection first must be the balancer, or clients see 502.
	IdleTimeout = 120 * time.Second
	// ReadHeaderTimeout also bounds the first request on a connection that the balancer opened in advance.
	ReadHeaderTimeout = 65 * time.Second

	// JobTimeout bounds a job, from the receive of its message. StopTimeout is longer, so that a worker that stops
	// finishes its jobs.
	JobTimeout = 90 * time.Second
	// StopTimeout is the time that the service manager waits between SIGTERM and SIGKILL.
	StopTimeout = 110 * time.Second

	// QueueVisibility and QueueMaxReceives are the AWS queue's settings: five receives two minutes apart outlive an
	// outage of ten minutes even if every worker dies.
	QueueVisibility  = 120 * time.Second
	QueueMaxReceives = 5
)

// Names of the embedded metrics: the server and worker write them, alarms and rollout guards watch them.
const (
	MetricNamespace = "Imagery"
	DimensionStack  = "stack"
	DimensionRole   = "role"

	MetricRequestTime      = "request_ms"                // server: milliseconds of a request, waits left out
	MetricRequests         = "requests"                  // server: requests, waits left out
	MetricServerErrors     = "server_errors"             // server: 5xx responses that are not planned
	MetricUploads          = "uploads"                   // server: accepted uploads
	MetricPlanned503       = "planned_503"               // server: uploads refused because the memory budget is used up
	MetricJobs             = "jobs"                      // worker: deliveries that ended
	MetricJobsDone         = "jobs_done"                 // worker: moved to processed
	MetricJobsGivenUp      = "jobs_given_up"             // worker: photos that cannot be processed
	MetricJobsRetried      = "jobs_retried"              // worker: left for another delivery
	MetricQueueWait        = "queue_wait_ms"             // worker: from the send of a hint to its receive
	MetricJobTime          = "job_ms"                    // worker: from receive to the end of the job
	MetricOldestUnfinished = "oldest_unfinished_seconds" // reconciler: once a minute, 0 when there is none
	MetricHeartbeat        = "heartbeat"                 // server and worker: 1 every HeartbeatEvery
)

// HeartbeatEvery is the interval of the heartbeats of a process. Alarms compare their number with that of instances.
const HeartbeatEvery = time.Minute
