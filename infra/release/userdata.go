package release

import (
	"cmp"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"text/template"
	"time"

	"imagery/app/deploy/settings"
	"imagery/infra/must"
)

// userDataLimit is AWS's limit of user-data, in bytes before base64.
const userDataLimit = 16 << 10

// Port is the port on which both roles listen, the worker on the loopback interface only.
const Port = 8080

//go:embed *.sh *.service *.timer *.conf
var files embed.FS

var boot, drain, unit = parse("boot.sh"), parse("drain.sh"), parse("imagery.service")

func parse(name string) *template.Template {
	return template.Must(template.New(name).Option("missingkey=error").Parse(embedded(name)))
}

func embedded(name string) string { return string(must.Get(files.ReadFile(name))) }

// Boot holds the parameters of user-data.
type Boot struct {
	Settings settings.Settings // of the binary
	GCLimit  int64             // GOMEMLIMIT, bytes
	Region   string
	Group    string // Auto Scaling group
	// Hook and TerminateHook are the group's lifecycle hooks.
	Hook, TerminateHook string
	Bucket              string // of releases
	Key, SHA            string
	LogGroup            string
	SSM                 bool // keep the Session Manager agent
	// Retry bounds how long the boot retries requests that AWS denies or does not answer.
	Retry time.Duration
	// Egress is the network's egress mode. No program reads it. It makes a change of egress a new launch template
	// version, so that the rollout replaces every instance before Pulumi deletes the old endpoints or gateways.
	Egress string
}

// plain matches values that need no quotes in a shell assignment. All names that AWS generates match.
var plain = regexp.MustCompile(`^[0-9A-Za-z._:/+=@-]*$`)

// UserData renders the boot script. The result depends on b only, so that an update without changes creates no launch
// template version.
func UserData(b Boot) (string, error) {
	agent := must.Get(json.MarshalIndent(logAgent(b.LogGroup), "", " "))
	drainScript, err := script(drain, "ROLE="+string(b.Settings.Role), "REGION="+b.Region, "GROUP="+b.Group,
		"TERMINATE_HOOK="+b.TerminateHook)
	if err != nil {
		return "", err
	}
	out, err := script(boot, "REGION="+b.Region, "GROUP="+b.Group, "HOOK="+b.Hook,
		"BUCKET="+b.Bucket, "KEY="+b.Key, "SHA="+b.SHA, fmt.Sprintf("PORT=%d", Port),
		fmt.Sprintf("RETRY_SECONDS=%d", int(b.Retry/time.Second)), fmt.Sprintf("SSM=%t", b.SSM),
		"ENVIRONMENT="+encode(strings.Join(b.Environment(), "\n")+"\n"), "AGENT="+encode(string(agent)),
		"ROTATION="+file(embedded("logrotate.conf")), "ROTATION_TIMER="+file(embedded("logrotate.timer.conf")),
		"AGENT_UNIT="+file(embedded("agent.service")), "AGENT_TIMER="+file(embedded("agent.timer")),
		"UNIT="+file(serviceUnit(b.Settings.Role)), "SELFTEST="+file(embedded("selftest.conf")),
		"DRAIN="+file(drainScript), "DRAIN_UNIT="+file(embedded("drain.service")),
		"export EGRESS="+cmp.Or(b.Egress, "unknown")) // exported, since shellcheck reports unused variables
	if err != nil {
		return "", err
	}
	if len(out) > userDataLimit {
		return "", fmt.Errorf("render user-data: %d bytes, AWS accepts %d", len(out), userDataLimit)
	}
	return out, nil
}

// script renders a template of a shell script with variable assignments at its beginning.
func script(t *template.Template, vars ...string) (string, error) {
	for _, v := range vars {
		if name, value, _ := strings.Cut(v, "="); !plain.MatchString(value) || value == "" {
			return "", fmt.Errorf("render %s: %s is %q, which a shell does not read as one word", t.Name(), name, value)
		}
	}
	return render(t, map[string]any{"Vars": vars}), nil
}

// serviceUnit returns the unit of a role. A worker compiles the decoders of HEIC and AVIF to machine code.
func serviceUnit(role settings.Role) string {
	return render(unit, map[string]any{"StopSeconds": int(settings.StopTimeout / time.Second),
		"Compiles": role == settings.Worker})
}

func render(t *template.Template, data any) string {
	out := &strings.Builder{}
	must.OK(t.Execute(out, data))
	return out.String()
}

// Environment returns the environment variables of the service.
func (b Boot) Environment() []string {
	return append(b.Settings.Env(),
		"AWS_REGION="+b.Region,
		// Newer SDKs prefer a DynamoDB host name per account, which a network without internet access cannot resolve.
		"AWS_ACCOUNT_ID_ENDPOINT_MODE=disabled",
		fmt.Sprintf("GOMEMLIMIT=%d", b.GCLimit))
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// comments matches whole lines, but not the first line of a script (#!).
var comments = regexp.MustCompile(`(?m)^# .*\n`)

// file encodes a file of the instance without its comments, which would exceed the limit of user-data.
func file(s string) string { return encode(comments.ReplaceAllString(s, "")) }

// logAgent returns the configuration of the CloudWatch agent, which sends both logs of an instance. Metrics are part of
// the log lines.
func logAgent(group string) any {
	type file struct {
		Path   string `json:"file_path"`
		Group  string `json:"log_group_name"`
		Stream string `json:"log_stream_name"`
	}
	type object = map[string]any
	return object{"logs": object{"logs_collected": object{"files": object{"collect_list": []file{
		{"/var/log/imagery/imagery.log", group, "{instance_id}"},
		{"/var/log/imagery-boot.log", group, "{instance_id}/boot"},
	}}}}}
}
