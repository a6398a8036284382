// Package settings holds every knob of the imagery binary once: its flag, its variable, its default and the
// reason for it. Parse reads what Env renders, so whoever starts a process (the local fleet, or a launch
// template) cannot misspell a name. It imports the standard library only.
package settings

import (
	"fmt"
	"strings"
	"time"
)

// Role is what a process does.
type Role string

// The roles of the binary.
const (
	Server Role = "server" // HTTP edge
	Worker Role = "worker" // queue consumer
	Local  Role = "local"  // load balancer with servers and workers as child processes
)

// Settings are the parsed and validated knobs. Zero durations and counts mean "what the queue says" on AWS.
type Settings struct {
	Role        Role
	Listen      string // host:port, ready for net.Listen
	Table       string
	Bucket      string
	QueueURL    string
	DLQURL      string // empty: from the queue's redrive policy
	Data        string
	Stack       string
	Instance    string // how logs and histories call this process
	Failpoint   string // tests only, see knobs
	QueueChaos  int64  // tests only: a seed, 0 for none
	Consume     bool
	Visibility  time.Duration
	MaxReceives int
	ResendAfter time.Duration
	Outage      time.Duration
	UploadLife  time.Duration
	MaxPixels   int64
	Memory      int64 // bytes; 0: measured at start
	PhotoMemory int64 // bytes that the workers can give to one photo; 0: as a worker's own plan says
	S3PathStyle bool
}

// OnAWS reports whether table, bucket and queue are AWS ones; else they live in the data folder.
func (s Settings) OnAWS() bool { return s.Table != "" }

// Defaults that differ between a laptop and AWS.
const (
	localVisibility  = 10 * time.Second // a killed worker's photo waits no longer than a person does
	localMaxReceives = 5
	localResendAfter = 15 * time.Second
	awsResendAfter   = 5 * time.Minute
)

// preset fills what was not set by hand, by backend.
func (s *Settings) preset() {
	if s.OnAWS() {
		setDefault(&s.ResendAfter, awsResendAfter)
		return
	}
	setDefault(&s.Visibility, localVisibility)
	setDefault(&s.MaxReceives, localMaxReceives)
	setDefault(&s.ResendAfter, localResendAfter)
}

// AtStack is what the settings are where everything is in a stack on AWS that they did not name: its names, and the
// defaults of AWS in the place of a laptop's.
func (s Settings) AtStack(table, bucket, queueURL, dlqURL string) Settings {
	if !s.OnAWS() {
		undo(&s.Visibility, localVisibility)
		undo(&s.MaxReceives, localMaxReceives)
		undo(&s.ResendAfter, localResendAfter)
	}
	s.Table, s.Bucket, s.QueueURL, s.DLQURL = table, bucket, queueURL, dlqURL
	s.preset()
	return s
}

// undo takes back what setDefault did.
func undo[T comparable](p *T, v T) {
	if *p == v {
		var zero T
		*p = zero
	}
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// mostPixels bounds -max-pixels: above it the memory of one photo is no number to plan with.
const mostPixels = 1 << 32

// validate reports every problem at once, each naming its flag and variable.
func (s *Settings) validate() []string {
	var bad []string
	say := func(flag, format string, args ...any) {
		bad = append(bad, fmt.Sprintf(format, args...)+" ("+named(flag)+")")
	}
	switch s.Role {
	case Server, Worker, Local:
	default:
		say("role", "role %q is not server, worker or local", s.Role)
	}
	set := map[string]string{"table": s.Table, "bucket": s.Bucket, "queue-url": s.QueueURL}
	var have, missing []string
	for _, f := range []string{"table", "bucket", "queue-url"} {
		if set[f] != "" {
			have = append(have, "-"+f)
		} else {
			missing = append(missing, named(f))
		}
	}
	if len(have) > 0 && len(missing) > 0 {
		bad = append(bad, fmt.Sprintf("%s is set but %s is missing: set all three for AWS, or none for local",
			strings.Join(have, " and "), strings.Join(missing, " and ")))
	}
	if s.MaxReceives < 0 || s.MaxReceives > 1000 {
		say("max-receives", "max-receives %d is not between 1 and 1000", s.MaxReceives)
	}
	if s.Visibility != 0 && s.Visibility < time.Second || s.Visibility > 12*time.Hour {
		say("visibility", "visibility %s is not between 1s and 12h", s.Visibility)
	}
	if s.OnAWS() && s.QueueChaos != 0 {
		say("queue-chaos", "queue-chaos %d is for the local queue", s.QueueChaos)
	}
	if s.ResendAfter < 0 {
		say("resend-after", "resend-after %s is negative", s.ResendAfter)
	}
	if s.Outage <= 0 {
		say("outage", "outage %s is not positive", s.Outage)
	}
	if s.UploadLife <= 0 {
		say("upload-life", "upload-life %s is not positive", s.UploadLife)
	}
	if s.Memory != 0 && s.Memory < LeastMemory {
		say("memory", "memory of %d MiB is less than the least, %d MiB", s.Memory>>20, LeastMemory>>20)
	}
	if s.MaxPixels < 1 || s.MaxPixels > mostPixels {
		say("max-pixels", "max-pixels %d is not between 1 and %d", s.MaxPixels, int64(mostPixels))
	}
	return bad
}
