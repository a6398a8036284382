package settings_test

import (
	"errors"
	"flag"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"imagery/app/deploy/settings"
)

// parse reads args with the variables of env.
func parse(args []string, env ...string) (settings.Settings, error) {
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	read := settings.Define(fs)
	if err := fs.Parse(args); err != nil {
		return settings.Settings{}, err
	}
	return read(func(name string) string {
		for _, e := range env {
			if v, ok := strings.CutPrefix(e, name+"="); ok {
				return v
			}
		}
		return ""
	})
}

func TestDefaults(t *testing.T) {
	s, err := parse(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := settings.Settings{Role: settings.Local, Listen: "127.0.0.1:8080", Data: "./.imagery", Stack: "local",
		Consume:    true,
		Visibility: 10 * time.Second, MaxReceives: 5, ResendAfter: 15 * time.Second, Outage: 10 * time.Minute,
		UploadLife: 720 * time.Hour, MaxPixels: 50_000_000}
	if s != want {
		t.Errorf("local: %+v\nwant   %+v", s, want)
	}
	s, err = parse([]string{"-role", "worker"}, "IMAGERY_TABLE=t", "ImageBucket=b", "ImageQueue=https://q")
	if err != nil {
		t.Fatal(err)
	}
	if !s.OnAWS() || s.Bucket != "b" || s.QueueURL != "https://q" || s.Listen != "127.0.0.1:8080" ||
		s.Visibility != 0 || s.MaxReceives != 0 || s.ResendAfter != 5*time.Minute {
		t.Errorf("worker on AWS: %+v", s)
	}
}

func TestPrecedence(t *testing.T) {
	for _, c := range []struct {
		args []string
		env  []string
		want string
	}{
		{nil, []string{"PORT=9000"}, "127.0.0.1:9000"},
		{nil, []string{"PORT=9000", "IMAGERY_LISTEN=9001"}, "127.0.0.1:9001"},
		{nil, []string{"PORT=9000", "IMAGERY_LISTEN="}, "127.0.0.1:9000"},
		{[]string{"-listen", ""}, []string{"PORT=9000"}, "127.0.0.1:9000"},
		{[]string{"-listen", "127.0.0.1:0"}, []string{"IMAGERY_LISTEN=9001"}, "127.0.0.1:0"},
		{[]string{"-listen=9", "-role=server"}, nil, ":9"},
		{[]string{"-role=worker", "-listen=9"}, nil, "127.0.0.1:9"},
		{[]string{"-role=worker", "-listen=:9"}, nil, ":9"},
		{[]string{"-listen=[::1]:0"}, nil, "[::1]:0"},
	} {
		if s, err := parse(c.args, c.env...); err != nil || s.Listen != c.want {
			t.Errorf("%v %v: listen %q, %v; want %q", c.args, c.env, s.Listen, err, c.want)
		}
	}
}

// TestRefusals: each names the flag and the variable that a person has to change.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"-role=king"}, []string{"king", "-role, IMAGERY_ROLE"}},
		{[]string{"-table=t"}, []string{"--table is set", "-bucket, IMAGERY_BUCKET", "-queue-url, IMAGERY_QUEUE_URL"}},
		{[]string{"-bucket=t", "-queue-url=q"}, []string{"-table, IMAGERY_TABLE"}},
		{[]string{"-visibility=soon"}, []string{"soon", "-visibility, IMAGERY_VISIBILITY"}},
		{[]string{"-visibility=-1s"}, []string{"-visibility, IMAGERY_VISIBILITY"}},
		{[]string{"-visibility=1ms"}, []string{"between 1s and 12h", "-visibility, IMAGERY_VISIBILITY"}},
		{[]string{"-max-pixels=9223372036854775807"}, []string{"-max-pixels, IMAGERY_MAX_PIXELS"}},
		{[]string{"-max-receives=many"}, []string{"-max-receives, IMAGERY_MAX_RECEIVES"}},
		{[]string{"-max-pixels=0"}, []string{"-max-pixels, IMAGERY_MAX_PIXELS"}},
		{[]string{"-memory=lots"}, []string{"lots", "-memory, IMAGERY_MEMORY"}},
		{[]string{"-queue-chaos=yes"}, []string{"yes", "-queue-chaos, IMAGERY_QUEUE_CHAOS"}},
		{[]string{"-table=t", "-bucket=b", "-queue-url=q", "-queue-chaos=7"},
			[]string{"local queue", "-queue-chaos, IMAGERY_QUEUE_CHAOS"}},
		{[]string{"-listen=70000"}, []string{"70000", "-listen, IMAGERY_LISTEN"}},
		{[]string{"-listen=host"}, []string{"host", "-listen, IMAGERY_LISTEN"}},
		{[]string{"-consume=maybe"}, []string{"maybe", "-consume, IMAGERY_CONSUME"}},
		{[]string{"-role=king", "-max-pixels=-1"}, []string{"king", "-max-pixels"}},
	} {
		_, err := parse(c.args)
		var usage *settings.UsageError
		if !errors.As(err, &usage) {
			t.Errorf("%v: %v, want a UsageError", c.args, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v: %q does not say %q", c.args, err, want)
			}
		}
	}
}

func TestHelpNamesEverySetting(t *testing.T) {
	var help strings.Builder
	settings.Describe(&help)
	for _, name := range []string{"role", "listen", "table", "bucket", "queue-url", "dlq-url", "data", "consume",
		"visibility",
		"max-receives", "resend-after", "max-pixels", "memory", "s3-path-style", "log", "queue-chaos"} {
		variable := "IMAGERY_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		if !strings.Contains(help.String(), "--"+name+"  ("+variable) {
			t.Errorf("the help does not name --%s (%s)", name, variable)
		}
	}
}

// TestEnvRoundTrip: FromEnv reads the output of Env back to the same settings.
func TestEnvRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := func(name string) time.Duration { return time.Duration(rapid.Int64Range(1e9, 1e13).Draw(t, name)) }
		memory := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(settings.MinMemory, 1e15))
		word := rapid.StringMatching(`[a-zA-Z0-9:/._-]{1,20}`)
		s := settings.Settings{
			Role:   rapid.SampledFrom([]settings.Role{settings.Server, settings.Worker, settings.Local}).Draw(t, "role"),
			Listen: rapid.SampledFrom([]string{":8080", "127.0.0.1:0", "[::1]:9"}).Draw(t, "listen"),
			Data:   word.Draw(t, "data"), Stack: word.Draw(t, "stack"), Instance: word.Draw(t, "instance"),
			Consume: rapid.Bool().Draw(t, "consume"), S3PathStyle: rapid.Bool().Draw(t, "path style"),
			Visibility: d("visibility"), MaxReceives: rapid.IntRange(1, 1000).Draw(t, "receives"),
			ResendAfter: d("resend"), Outage: d("outage"), UploadLife: d("life"),
			MaxPixels: rapid.Int64Range(1, 1<<32).Draw(t, "pixels"), Memory: memory.Draw(t, "memory"),
			PhotoMemory: rapid.Int64Range(0, 1e15).Draw(t, "photo memory"),
			Log:         rapid.SampledFrom([]string{"", settings.LogText, settings.LogJSON}).Draw(t, "log"),
		}
		if rapid.Bool().Draw(t, "aws") {
			s.Table, s.Bucket, s.QueueURL, s.DLQURL = word.Draw(t, "t"), word.Draw(t, "b"), word.Draw(t, "q"), word.Draw(t, "d")
		} else {
			s.QueueChaos = rapid.Int64().Draw(t, "chaos")
		}
		got, err := parse(nil, s.Env()...)
		if err != nil || got != s {
			t.Fatalf("%v\n got %+v, %v\nwant %+v", s.Env(), got, err, s)
		}
	})
}

func TestParseBytes(t *testing.T) {
	for in, want := range map[string]int64{"1": 1, "7B": 7, "512MiB": 512 << 20, "2GiB": 2 << 30, "1TiB": 1 << 40,
		"3KiB": 3 << 10} {
		if got, err := settings.ParseBytes(in); err != nil || got != want {
			t.Errorf("ParseBytes(%q) = %d, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "0", "-1", "1GB", "x", "9999999TiB", "1.5GiB"} {
		if got, err := settings.ParseBytes(in); err == nil {
			t.Errorf("ParseBytes(%q) = %d", in, got)
		}
	}
}

// WithStack gives the same settings as the flags with the names of the stack, and keeps what was set by hand.
func TestWithStack(t *testing.T) {
	names := []string{"-table", "t", "-bucket", "b", "-queue-url", "q", "-dlq-url", "d"}
	for _, by := range [][]string{nil, {"-resend-after", "7m", "-visibility", "3m", "-max-receives", "9"}} {
		want, err := parse(slices.Concat(names, by))
		if err != nil {
			t.Fatal(err)
		}
		bare, err := parse(by)
		if got := bare.WithStack("t", "b", "q", "d"); err != nil || got != want {
			t.Errorf("%v: %+v, want %+v, %v", by, got, want, err)
		}
	}
}
