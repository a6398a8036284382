package settings

import (
	"fmt"
	"net"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// option declares one setting: its flag, its variables, its default, its documentation and its field in Settings.
type option struct {
	flag     string // the variable is IMAGERY_ and this in capitals, with underscores
	fallback string // the variable of a platform that we run on, read when ours is unset
	def      string // as the user would type it; "" leaves the field zero
	usage    string
	field    func(*Settings) any // a pointer: *string, *Role, *bool, *int, *int64, *size or *time.Duration
}

// size is a number of bytes, which users may give with a unit.
type size int64

// options lists all settings in the order of the help.
var options = []option{
	{flag: "role", def: string(Local), field: func(s *Settings) any { return &s.Role },
		usage: "what this process does: server, worker, or local (a load balancer with two servers and two workers)"},
	{flag: "listen", fallback: "PORT", def: "8080", field: func(s *Settings) any { return &s.Listen },
		usage: "address or port of the HTTP listener; a bare port means all interfaces for a server, else 127.0.0.1; " +
			"port 0 picks a free one"},
	{flag: "table", field: func(s *Settings) any { return &s.Table },
		usage: "DynamoDB table; table, bucket and queue together select AWS, none of them local"},
	{flag: "bucket", fallback: "ImageBucket", field: func(s *Settings) any { return &s.Bucket },
		usage: "S3 bucket of originals and results"},
	{flag: "queue-url", fallback: "ImageQueue", field: func(s *Settings) any { return &s.QueueURL },
		usage: "URL of the SQS queue"},
	{flag: "dlq-url", field: func(s *Settings) any { return &s.DLQURL },
		usage: "URL of the dead-letter queue; else taken from the queue's redrive policy"},
	{flag: "data", def: "./.imagery", field: func(s *Settings) any { return &s.Data },
		usage: "folder of the local table, objects and queue"},
	{flag: "stack", def: "local", field: func(s *Settings) any { return &s.Stack },
		usage: "name of the deployment, a dimension of every metric"},
	{flag: "instance", field: func(s *Settings) any { return &s.Instance },
		usage: "name of this process in logs and histories; else the host name"},
	{flag: "consume", def: "true", field: func(s *Settings) any { return &s.Consume },
		usage: "worker: receive from the queue; false leaves that to the Elastic Beanstalk daemon of this machine, " +
			"which posts to /sqs"},
	{flag: "visibility", field: func(s *Settings) any { return &s.Visibility },
		usage: "visibility timeout of a received message (local: 10s, AWS: that of the queue)"},
	{flag: "max-receives", field: func(s *Settings) any { return &s.MaxReceives },
		usage: "deliveries of a message before it becomes a dead letter (local: 5, AWS: that of the queue)"},
	{flag: "resend-after", field: func(s *Settings) any { return &s.ResendAfter },
		usage: "age at which the hint of an unfinished image is sent again; the interval then doubles up to 6h " +
			"(local: 15s, AWS: 5m)"},
	{flag: "outage", def: "10m", field: func(s *Settings) any { return &s.Outage },
		usage: "how long the table, bucket or queue may be unavailable without failing a photo: the deliveries of one " +
			"message span at least this"},
	{flag: "upload-life", def: "720h", field: func(s *Settings) any { return &s.UploadLife },
		usage: "age at which originals are removed (AWS: by the bucket's lifecycle rule, which must say the same)"},
	{flag: "max-pixels", def: strconv.Itoa(DefaultMaxPixels), field: func(s *Settings) any { return &s.MaxPixels },
		usage: "largest width x height of a photo"},
	{flag: "memory", field: func(s *Settings) any { return (*size)(&s.Memory) },
		usage: "memory budget of one process, such as 900MiB, at least 64MiB (default: 60% of the smallest of GOMEMLIMIT, " +
			"cgroup limit and RAM; the processes of a local fleet share that)"},
	{flag: "photo-memory", field: func(s *Settings) any { return (*size)(&s.PhotoMemory) },
		usage: "most memory that the workers can give to one photo; one that needs more is refused at upload (default: " +
			"what a worker's budget leaves; a server without it refuses none)"},
	{flag: "s3-path-style", def: "false", field: func(s *Settings) any { return &s.S3PathStyle },
		usage: "address buckets as a path, which S3 emulators need"},
	{flag: "log", field: func(s *Settings) any { return &s.Log },
		usage: "format of the log on standard error: text for people, or json, which alarms on AWS need (default: text " +
			"on a terminal, else json)"},
	{flag: "failpoint", field: func(s *Settings) any { return &s.Failpoint },
		usage: "for tests: commit points where this process kills itself, as POINT[@IMAGE-ID][#N] for the N-th time, " +
			"comma-separated"},
	{flag: "queue-chaos", field: func(s *Settings) any { return &s.QueueChaos },
		usage: "for tests: seed from which the local queue duplicates, delays and reorders messages and loses " +
			"acknowledgements"},
}

// parse sets the field of s to the value that the text v stands for.
func (o option) parse(s *Settings, v string) (err error) {
	switch p := o.field(s).(type) {
	case *string:
		*p = v
	case *Role:
		*p = Role(v)
	case *bool:
		*p, err = strconv.ParseBool(v)
	case *int:
		*p, err = strconv.Atoi(v)
	case *int64:
		*p, err = strconv.ParseInt(v, 10, 64)
	case *size:
		*(*int64)(p), err = ParseBytes(v)
	case *time.Duration:
		*p, err = time.ParseDuration(v)
	}
	return err
}

// format returns the field of s as parse reads it, "" for a number or duration of zero, which stands for the default.
func (o option) format(s Settings) string {
	v := reflect.ValueOf(o.field(&s)).Elem()
	if v.IsZero() && v.Kind() != reflect.Bool {
		return ""
	}
	return fmt.Sprint(v)
}

// Named returns the flag and the variable of a setting as messages name them, as in "--data, IMAGERY_DATA".
func Named(flag string) string { return "--" + flag + ", " + variable(flag) }

func variable(flag string) string {
	return "IMAGERY_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

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

// address returns v as host:port for net.Listen. A bare port means 127.0.0.1, for a server all interfaces.
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
