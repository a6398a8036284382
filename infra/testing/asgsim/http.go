package asgsim

import (
	"encoding/xml"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// node is an XML element; encoding/xml has no list without a type for each.
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

// list is a list of the Query protocol.
func list[T any](name string, of []T, member func(T) []node) node {
	out := el(name)
	for _, v := range of {
		out.Kids = append(out.Kids, el("member", member(v)...))
	}
	return out
}

// Handler answers the clients of Auto Scaling, Elastic Load Balancing, EC2 and CloudWatch at one address, as far as the
// simulator knows them: the first three by the Action of the Query protocol, the last by its path. Any signature is
// good.
func (s *Simulator) Handler() http.Handler {
	ec2 := map[string]func(form) ([]node, error){
		"DescribeLaunchTemplateVersions": s.describeTemplateVersions,
		"GetConsoleOutput":               s.getConsole,
	}
	actions := map[string]func(form) ([]node, error){
		"DescribeAutoScalingGroups":           s.describeGroups,
		"DescribeAutoScalingInstances":        s.describeInstances,
		"DescribeLifecycleHooks":              s.describeHooks,
		"DescribeScalingActivities":           s.describeActivities,
		"UpdateAutoScalingGroup":              s.updateGroup,
		"SetDesiredCapacity":                  s.setDesired,
		"TerminateInstanceInAutoScalingGroup": s.terminateInstance,
		"CompleteLifecycleAction": func(f form) ([]node, error) {
			return nil, s.complete(f.of("AutoScalingGroupName"), f.of("LifecycleHookName"), f.of("InstanceId"), f.of("LifecycleActionResult"))
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
			return refreshID(s.CancelRefresh(f.of("AutoScalingGroupName"), f.of("WaitForTransitioningInstances") != "false")) // "The default is true."
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
			refuse(w, &apiError{"MalformedQueryString", err.Error()})
			return
		}
		f := form(r.PostForm)
		name := f.of("Action")
		if do := ec2[name]; do != nil {
			result, err := do(f)
			if err != nil {
				refuseEC2(w, err)
				return
			}
			write(w, http.StatusOK, el(name+"Response", append(result, text("requestId", "simulated"))...))
			return
		}
		do := actions[name]
		if do == nil {
			refuse(w, &apiError{"InvalidAction", "the simulator does not know " + name})
			return
		}
		result, err := do(f)
		if err != nil {
			refuse(w, err)
			return
		}
		write(w, http.StatusOK, el(name+"Response", el(name+"Result", result...), el("ResponseMetadata", text("RequestId", "simulated"))))
	})
}

func refuse(w http.ResponseWriter, err error) {
	api := &apiError{"InternalFailure", err.Error()}
	errors.As(err, &api)
	write(w, http.StatusBadRequest, el("ErrorResponse",
		el("Error", text("Type", "Sender"), text("Code", api.code), text("Message", api.message)), text("RequestId", "simulated")))
}

func refuseEC2(w http.ResponseWriter, err error) {
	api := &apiError{"InternalError", err.Error()}
	errors.As(err, &api)
	write(w, http.StatusBadRequest, el("Response", el("Errors", el("Error", text("Code", api.code), text("Message", api.message))), text("RequestID", "simulated")))
}

func write(w http.ResponseWriter, status int, n node) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(n) // the client is gone if this fails
}

// form reads the parameters of a call.
type form map[string][]string

func (f form) of(name string) string {
	if v := f[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// integer is nil if the parameter is missing or no number.
func (f form) integer(name string) *int {
	n, err := strconv.Atoi(f.of(name))
	if err != nil {
		return nil
	}
	return &n
}

// members reads a list parameter such as InstanceIds.member.1.
func (f form) members(name string) []string {
	var out []string
	for n := 1; ; n++ {
		v := f.of(name + ".member." + strconv.Itoa(n))
		if v == "" {
			return out
		}
		out = append(out, v)
	}
}

func yes(s string) bool { return strings.EqualFold(s, "true") }

// texts is a list of plain values.
func texts(name string, of []string) node {
	out := el(name)
	for _, v := range of {
		out.Kids = append(out.Kids, text("member", v))
	}
	return out
}
