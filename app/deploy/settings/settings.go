// Package settings declares every setting of the imagery binary once: its flag, its variable, its default and its
// documentation. A parent that starts a process (the local fleet, or a launch template) passes Env, which FromEnv reads
// back. The package also has the numbers and names that several parts of the code must agree on. It imports the
// standard library only.
package settings

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Role selects what a process does.
type Role string

// The roles of the binary.
const (
	Server Role = "server" // HTTP edge
	Worker Role = "worker" // queue consumer
	Local  Role = "local"  // load balancer with servers and workers as child processes
)

// Settings are the parsed and validated options. On AWS a zero Visibility or MaxReceives stands for that of the queue.
type Settings struct {
	Role        Role
	Listen      string // host:port, ready for net.Listen
	Table       string
	Bucket      string
	QueueURL    string
	DLQURL      string // empty: from the queue's redrive policy
	Data        string
	Stack       string
	Instance    string // name of this process in logs and histories
	Failpoint   string // tests only, see options
	QueueChaos  int64  // tests only: a seed, 0 for none
	Consume     bool
	Visibility  time.Duration
	MaxReceives int
	ResendAfter time.Duration
	Outage      time.Duration
	UploadLife  time.Duration
	MaxPixels   int64
	Memory      int64 // bytes; 0: measured at start
	PhotoMemory int64 // bytes that the workers can give to one photo; 0: what a worker's memory plan leaves
	S3PathStyle bool
	Log         string // format of the log: LogText, LogJSON, or empty for text on a terminal and else JSON
}

// The values of Settings.Log.
const (
	LogText = "text"
	LogJSON = "json"
)

// OnAWS reports whether table, bucket and queue are those of AWS; otherwise they are in the data folder.
func (s Settings) OnAWS() bool { return s.Table != "" }

// Defaults that differ between a laptop and AWS.
const (
	localVisibility  = 10 * time.Second // a user who tries the service waits that long for the photo of a killed worker
	localMaxReceives = 5
	localResendAfter = 15 * time.Second
	awsResendAfter   = 5 * time.Minute
)

// setDefaults fills the fields that are still zero, for AWS or for a laptop.
func (s *Settings) setDefaults() {
	if s.OnAWS() {
		s.ResendAfter = cmp.Or(s.ResendAfter, awsResendAfter)
		return
	}
	s.Visibility = cmp.Or(s.Visibility, localVisibility)
	s.MaxReceives = cmp.Or(s.MaxReceives, localMaxReceives)
	s.ResendAfter = cmp.Or(s.ResendAfter, localResendAfter)
}

// WithStack returns s with the resources of a stack on AWS, and with the defaults of AWS instead of a laptop's.
func (s Settings) WithStack(table, bucket, queueURL, dlqURL string) Settings {
	if !s.OnAWS() {
		unset(&s.Visibility, localVisibility)
		unset(&s.MaxReceives, localMaxReceives)
		unset(&s.ResendAfter, localResendAfter)
	}
	s.Table, s.Bucket, s.QueueURL, s.DLQURL = table, bucket, queueURL, dlqURL
	s.setDefaults()
	return s
}

// unset takes a default back.
func unset[T comparable](p *T, def T) {
	if *p == def {
		*p = *new(T)
	}
}

// maxMaxPixels is the upper limit of --max-pixels: with more the memory of one photo cannot be planned.
const maxMaxPixels = 1 << 32

// validate returns every problem, each with its flag and variable.
func (s *Settings) validate() (problems []string) {
	refuse := func(flag string, bad bool, format string, args ...any) {
		if bad {
			problems = append(problems, fmt.Sprintf(format, args...)+" ("+Named(flag)+")")
		}
	}
	refuse("role", !slices.Contains([]Role{Server, Worker, Local}, s.Role),
		"role %q is not server, worker or local", s.Role)
	set := map[string]string{"table": s.Table, "bucket": s.Bucket, "queue-url": s.QueueURL}
	var have, missing []string
	for _, f := range []string{"table", "bucket", "queue-url"} {
		if set[f] != "" {
			have = append(have, "--"+f)
		} else {
			missing = append(missing, Named(f))
		}
	}
	if len(have) > 0 && len(missing) > 0 {
		problems = append(problems, fmt.Sprintf("%s is set but %s is missing: set all three for AWS, or none for local",
			strings.Join(have, " and "), strings.Join(missing, " and ")))
	}
	refuse("max-receives", s.MaxReceives < 0 || s.MaxReceives > 1000,
		"max-receives %d is not between 1 and 1000", s.MaxReceives)
	refuse("visibility", s.Visibility != 0 && s.Visibility < time.Second || s.Visibility > 12*time.Hour,
		"visibility %s is not between 1s and 12h", s.Visibility)
	refuse("queue-chaos", s.OnAWS() && s.QueueChaos != 0, "queue-chaos %d is for the local queue", s.QueueChaos)
	refuse("log", s.Log != "" && s.Log != LogText && s.Log != LogJSON, "log format %q is not text or json", s.Log)
	refuse("resend-after", s.ResendAfter < 0, "resend-after %s is negative", s.ResendAfter)
	refuse("outage", s.Outage <= 0, "outage %s is not positive", s.Outage)
	refuse("upload-life", s.UploadLife <= 0, "upload-life %s is not positive", s.UploadLife)
	refuse("memory", s.Memory != 0 && s.Memory < MinMemory,
		"memory of %d MiB is below the minimum of %d MiB", s.Memory>>20, MinMemory>>20)
	refuse("max-pixels", s.MaxPixels < 1 || s.MaxPixels > maxMaxPixels,
		"max-pixels %d is not between 1 and %d", s.MaxPixels, int64(maxMaxPixels))
	return problems
}
