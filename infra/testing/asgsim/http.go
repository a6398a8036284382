package asgsim

import (
	"encoding/xml"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// node is an XML element. encoding/xml would need a type for each list.
type node struct {
	XMLName xml.Name
	Text    string `xml:",chardata"`
	Kids    []node
}

func el(name string, kids ...node) node { return node{XMLName: xml.Name{Local: name}, Kids: kids} }

func text(name, value string) node { return node{XMLName: xml.Name{Local: name}, Text: value} }

func number(name string, value int) node { return text(name, strconv.Itoa(value)) }

func instant(name string, t time.Time) node {
	return text(name, t.UTC().Format("2006-01-02T15:04:05.000Z"))
}

// list returns a list of the Query protocol.
func list[T any](name string, of []T, member func(T) []node) node {
	out := el(name)
	for _, v := range of {
		out.Kids = append(out.Kids, el("member", member(v)...))
	}
	return out
}

// Handler serves the implemented operations of Auto Scaling, Elastic Load Balancing and EC2, by the parameter Action of
// the Query protocol, and of CloudWatch, by path. It does not check signatures.
func (s *Simulator) Handler() http.Handler {
	ec2 := map[string]func(form) ([]node, error){
		"DescribeLaunchTemplateVersions": s.describeTemplateVersions,
		"GetConsoleOutput":               s.getConsole,
	}
	actions := map[string]func(form) ([]node, error){
		"DescribeAutoScalingGroups":           s.describeGroups,
		"DescribeLifecycleHooks":              s.describeHooks,
		"DescribeScalingActivities":           s.describeActivities,
		"UpdateAutoScalingGroup":              s.updateGroup,
		"SetDesiredCapacity":                  s.setDesired,
		"TerminateInstanceInAutoScalingGroup": s.terminateInstance,
		"CompleteLifecycleAction": func(f form) ([]node, error) {
			return nil, s.complete(f.of("AutoScalingGroupName"), f.of("LifecycleHookName"), f.of("InstanceId"),
				f.of("LifecycleActionResult"))
		},
		"RecordLifecycleActionHeartbeat": func(f form) ([]node, error) {
			return nil, s.heartbeat(f.of("AutoScalingGroupName"), f.of("LifecycleHookName"), f.of("InstanceId"))
		},
		"DescribeTargetHealth":      s.describeTargets,
		"StartInstanceRefresh":      s.startRefresh,
		"DescribeInstanceRefreshes": s.describeRefreshes,
		"RollbackInstanceRefresh": func(f form) ([]node, error) {
			return refreshID(s.RollbackRefresh(f.of("AutoScalingGroupName")))
		},
		"CancelInstanceRefresh": func(f form) ([]node, error) {
			wait := f.of("WaitForTransitioningInstances") != "false" // "The default is true."
			return refreshID(s.CancelRefresh(f.of("AutoScalingGroupName"), wait))
		},
		"SetInstanceProtection": s.setProtection,
		"SuspendProcesses": func(f form) ([]node, error) {
			return nil, s.Suspend(f.of("AutoScalingGroupName"), "", f.members("ScalingProcesses")...)
		},
		"ResumeProcesses": func(f form) ([]node, error) {
			return nil, s.Resume(f.of("AutoScalingGroupName"), f.members("ScalingProcesses")...)
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, cloudWatchPath) {
			s.serveCloudWatch(w, r)
			return
		}
		if err := r.ParseForm(); err != nil {
			writeError(w, &apiError{"MalformedQueryString", err.Error()})
			return
		}
		f := form(r.PostForm)
		name := f.of("Action")
		if do := ec2[name]; do != nil {
			result, err := do(f)
			if err != nil {
				writeEC2Error(w, err)
				return
			}
			write(w, http.StatusOK, el(name+"Response", append(result, text("requestId", "simulated"))...))
			return
		}
		do := actions[name]
		if do == nil {
			writeError(w, &apiError{"InvalidAction", "the simulator does not implement " + name})
			return
		}
		result, err := do(f)
		if err != nil {
			writeError(w, err)
			return
		}
		write(w, http.StatusOK, el(name+"Response", el(name+"Result", result...),
			el("ResponseMetadata", text("RequestId", "simulated"))))
	})
}

func writeError(w http.ResponseWriter, err error) {
	api := &apiError{"InternalFailure", err.Error()}
	errors.As(err, &api)
	write(w, http.StatusBadRequest, el("ErrorResponse",
		el("Error", text("Type", "Sender"), text("Code", api.code), text("Message", api.message)),
		text("RequestId", "simulated")))
}

func writeEC2Error(w http.ResponseWriter, err error) {
	api := &apiError{"InternalError", err.Error()}
	errors.As(err, &api)
	write(w, http.StatusBadRequest, el("Response",
		el("Errors", el("Error", text("Code", api.code), text("Message", api.message))), text("RequestID", "simulated")))
}

func write(w http.ResponseWriter, status int, n node) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(n) // fails only if the client closed the connection
}

// form holds the parameters of a call.
type form map[string][]string

func (f form) of(name string) string {
	if v := f[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// integer returns nil if the parameter is missing or not a number.
func (f form) integer(name string) *int {
	n, err := strconv.Atoi(f.of(name))
	if err != nil {
		return nil
	}
	return &n
}

// members reads a list parameter such as InstanceIds.member.1.
func (f form) members(name string) []string { return f.flat(name + ".member") }

// flat reads a list parameter of EC2, such as LaunchTemplateVersion.1.
func (f form) flat(name string) []string {
	var out []string
	for n := 1; ; n++ {
		v := f.of(name + "." + strconv.Itoa(n))
		if v == "" {
			return out
		}
		out = append(out, v)
	}
}

func isTrue(s string) bool { return strings.EqualFold(s, "true") }

// texts returns a list of plain values.
func texts(name string, of []string) node {
	out := el(name)
	for _, v := range of {
		out.Kids = append(out.Kids, text("member", v))
	}
	return out
}
