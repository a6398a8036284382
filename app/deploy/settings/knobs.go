package settings

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// knob is one setting: what -h prints, where it is read from, and how it is written into Settings and back.
type knob struct {
	flag   string
	env    []string // the first is ours, the others are the names of platforms we run on
	usage  string
	def    string // as the user would type it; "" leaves the field zero
	isBool bool
	read   func(s *Settings, v string) error
	show   func(s Settings) string
}

func text(at func(*Settings) *string) (func(*Settings, string) error, func(Settings) string) {
	return func(s *Settings, v string) error { *at(s) = v; return nil },
		func(s Settings) string { return *at(&s) }
}

func duration(at func(*Settings) *time.Duration) (func(*Settings, string) error, func(Settings) string) {
	return func(s *Settings, v string) (err error) { *at(s), err = time.ParseDuration(v); return },
		func(s Settings) string {
			if *at(&s) == 0 {
				return ""
			}
			return at(&s).String()
		}
}

func number(at func(*Settings) *int64) (func(*Settings, string) error, func(Settings) string) {
	return func(s *Settings, v string) (err error) { *at(s), err = strconv.ParseInt(v, 10, 64); return },
		func(s Settings) string {
			if *at(&s) == 0 {
				return ""
			}
			return strconv.FormatInt(*at(&s), 10)
		}
}

func boolean(at func(*Settings) *bool) (func(*Settings, string) error, func(Settings) string) {
	return func(s *Settings, v string) (err error) { *at(s), err = strconv.ParseBool(v); return },
		func(s Settings) string { return strconv.FormatBool(*at(&s)) }
}

func (k knob) with(read func(*Settings, string) error, show func(Settings) string) knob {
	k.read, k.show = read, show
	return k
}

// knobs is the whole list, in the order of -h.
var knobs = []knob{
	knob{flag: "role", env: []string{"IMAGERY_ROLE"}, def: string(Local),
		usage: "what this process does: server, worker, or local (a load balancer with two servers and two workers)"}.
		with(func(s *Settings, v string) error { s.Role = Role(v); return nil }, func(s Settings) string { return string(s.Role) }),
	knob{flag: "listen", env: []string{"IMAGERY_LISTEN", "PORT"}, def: "8080",
		usage: "address or port of the HTTP listener; a bare port means all interfaces for a server, else 127.0.0.1; " +
			"port 0 picks one"}.
		with(text(func(s *Settings) *string { return &s.Listen })),
	knob{flag: "table", env: []string{"IMAGERY_TABLE"}, usage: "DynamoDB table; table, bucket and queue together select AWS, none of them local"}.
		with(text(func(s *Settings) *string { return &s.Table })),
	knob{flag: "bucket", env: []string{"IMAGERY_BUCKET", "ImageBucket"}, usage: "S3 bucket of originals and results"}.
		with(text(func(s *Settings) *string { return &s.Bucket })),
	knob{flag: "queue-url", env: []string{"IMAGERY_QUEUE_URL", "ImageQueue"}, usage: "URL of the SQS queue"}.
		with(text(func(s *Settings) *string { return &s.QueueURL })),
	knob{flag: "dlq-url", env: []string{"IMAGERY_DLQ_URL"}, usage: "URL of the dead-letter queue; else found through the queue's redrive policy"}.
		with(text(func(s *Settings) *string { return &s.DLQURL })),
	knob{flag: "data", env: []string{"IMAGERY_DATA"}, def: "./.imagery", usage: "folder of the local table, objects and queue"}.
		with(text(func(s *Settings) *string { return &s.Data })),
	knob{flag: "stack", env: []string{"IMAGERY_STACK"}, def: "local", usage: "name of the deployment, a dimension of every metric"}.
		with(text(func(s *Settings) *string { return &s.Stack })),
	knob{flag: "instance", env: []string{"IMAGERY_INSTANCE"}, usage: "name of this process in logs and histories; else the host's name"}.
		with(text(func(s *Settings) *string { return &s.Instance })),
	knob{flag: "consume", env: []string{"IMAGERY_CONSUME"}, def: "true", isBool: true,
		usage: "worker: receive from the queue; false leaves that to the Elastic Beanstalk daemon of this machine, " +
			"which posts to /sqs"}.
		with(boolean(func(s *Settings) *bool { return &s.Consume })),
	knob{flag: "visibility", env: []string{"IMAGERY_VISIBILITY"},
		usage: "how long a received message stays hidden unless extended (local: 10s, AWS: as the queue says)"}.
		with(duration(func(s *Settings) *time.Duration { return &s.Visibility })),
	knob{flag: "max-receives", env: []string{"IMAGERY_MAX_RECEIVES"},
		usage: "deliveries of a message before it becomes a dead letter (local: 5, AWS: as the queue says)"}.
		with(func(s *Settings, v string) (err error) { s.MaxReceives, err = strconv.Atoi(v); return },
			func(s Settings) string {
				if s.MaxReceives == 0 {
					return ""
				}
				return strconv.Itoa(s.MaxReceives)
			}),
	knob{flag: "resend-after", env: []string{"IMAGERY_RESEND_AFTER"},
		usage: "age at which an unfinished image gets its hint again; the interval then doubles up to 6h (local: 15s, AWS: 5m)"}.
		with(duration(func(s *Settings) *time.Duration { return &s.ResendAfter })),
	knob{flag: "outage", env: []string{"IMAGERY_OUTAGE"}, def: "10m",
		usage: "how long the table, bucket or queue may be away without failing a photo: the deliveries of one message span at least this"}.
		with(duration(func(s *Settings) *time.Duration { return &s.Outage })),
	knob{flag: "upload-life", env: []string{"IMAGERY_UPLOAD_LIFE"}, def: "720h",
		usage: "age at which originals are removed (AWS: by the bucket's lifecycle rule, which must say the same)"}.
		with(duration(func(s *Settings) *time.Duration { return &s.UploadLife })),
	knob{flag: "max-pixels", env: []string{"IMAGERY_MAX_PIXELS"}, def: strconv.Itoa(DefaultMaxPixels),
		usage: "largest width x height of a photo"}.
		with(number(func(s *Settings) *int64 { return &s.MaxPixels })),
	knob{flag: "memory", env: []string{"IMAGERY_MEMORY"},
		usage: "memory budget of one process, such as 900MiB, at least 64MiB (default: 60% of the smallest of GOMEMLIMIT, " +
			"cgroup limit and RAM; the processes of a local fleet share that)"}.
		with(size(func(s *Settings) *int64 { return &s.Memory })),
	knob{flag: "photo-memory", env: []string{"IMAGERY_PHOTO_MEMORY"},
		usage: "most memory that the workers can give to one photo; one that needs more is refused at upload (default: " +
			"what a worker's budget leaves; a server without it refuses none)"}.
		with(size(func(s *Settings) *int64 { return &s.PhotoMemory })),
	knob{flag: "s3-path-style", env: []string{"IMAGERY_S3_PATH_STYLE"}, def: "false", isBool: true,
		usage: "address buckets as a path, as S3 emulators want it"}.
		with(boolean(func(s *Settings) *bool { return &s.S3PathStyle })),
	knob{flag: "failpoint", env: []string{"IMAGERY_FAILPOINT"},
		usage: "for tests: commit points where this process kills itself, as POINT[@IMAGE-ID][#N] for the N-th pass, comma-separated"}.
		with(text(func(s *Settings) *string { return &s.Failpoint })),
	knob{flag: "queue-chaos", env: []string{"IMAGERY_QUEUE_CHAOS"},
		usage: "for tests: seed from which the local queue duplicates, delays and reorders messages and loses acknowledgements"}.
		with(number(func(s *Settings) *int64 { return &s.QueueChaos })),
}

// size reads and renders a number of bytes; 0 is not rendered.
func size(field func(*Settings) *int64) (func(*Settings, string) error, func(Settings) string) {
	return func(s *Settings, v string) (err error) { *field(s), err = ParseBytes(v); return },
		func(s Settings) string {
			if n := *field(&s); n != 0 {
				return strconv.FormatInt(n, 10)
			}
			return ""
		}
}

// named is how messages call a knob: its flag and its variable.
func named(flag string) string {
	for _, k := range knobs {
		if k.flag == flag {
			return "-" + k.flag + ", " + k.env[0]
		}
	}
	panic("settings: no knob " + flag)
}

// Named tells a person which flag and variable a problem belongs to, as in "-data, IMAGERY_DATA".
func Named(flag string) string { return named(flag) }

// ParseBytes reads a size such as 512MiB, 1GiB or plain bytes, in the units of GOMEMLIMIT.
func ParseBytes(v string) (int64, error) {
	units := []struct {
		suffix string
		shift  uint
	}{{"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}, {"B", 0}, {"", 0}}
	for _, u := range units {
		if digits, ok := strings.CutSuffix(v, u.suffix); ok {
			n, err := strconv.ParseInt(digits, 10, 64)
			if err != nil || n <= 0 || n > (1<<62)>>u.shift {
				break
			}
			return n << u.shift, nil
		}
	}
	return 0, fmt.Errorf("%q is not a size such as 512MiB or 2GiB", v)
}

// address completes a bare port. Only a server is reached from other machines unless its address says otherwise.
func address(v string, r Role) (string, error) {
	host, port := "", v
	if r != Server {
		host = "127.0.0.1"
	}
	if strings.Contains(v, ":") {
		var err error
		if host, port, err = net.SplitHostPort(v); err != nil {
			return "", err
		}
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return "", fmt.Errorf("port %q is not a number from 0 to 65535", port)
	}
	return net.JoinHostPort(host, port), nil
}
