package main

import (
	"cmp"
	"context"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/smithy-go"

	"imagery/infra/testing/asgsim"
)

// Names of instance states, with the codes that EC2 documents.
const running, shuttingDown, terminated, stopping, stopped = "running", "shutting-down", "terminated", "stopping",
	"stopped"

var stateCodes = map[string]int{running: 16, shuttingDown: 32, terminated: 48, stopping: 64, stopped: 80}

// Elements of EC2's answers. Lists are elements "item".
type (
	state struct {
		Code int    `xml:"code"`
		Name string `xml:"name"`
	}
	tag struct {
		Key   string `xml:"key"`
		Value string `xml:"value"`
	}
	instance struct {
		ID       string    `xml:"instanceId"`
		Image    string    `xml:"imageId,omitempty"`
		State    state     `xml:"instanceState"`
		Type     string    `xml:"instanceType,omitempty"`
		Launched time.Time `xml:"launchTime"`
		Zone     string    `xml:"placement>availabilityZone"`
		Address  string    `xml:"privateIpAddress,omitempty"`
		Profile  *profile  `xml:"iamInstanceProfile"`
		Tags     []tag     `xml:"tagSet>item"`
		group    string
	}
	profile struct {
		ARN string `xml:"arn"`
	}
	change struct {
		ID       string `xml:"instanceId"`
		Current  state  `xml:"currentState"`
		Previous state  `xml:"previousState"`
	}
)

func stateOf(name string) state { return state{stateCodes[name], name} }

// instances returns the simulated instances, also those that ended: EC2 describes a terminated instance for about an
// hour, the rehearsal until its end. Instances that moto keeps for its own groups are nowhere and are left out.
func (f *front) instances(ctx context.Context) (all []instance) {
	templates := map[string]*templateData{}
	for _, m := range f.host.Machines() {
		i := instance{ID: m.ID, Launched: m.Started.UTC(), Zone: m.Zone, group: m.Group,
			State: stateOf(f.stateOf(m.ID, m.Group, m.On))}
		f.mu.Lock()
		source := f.groups[m.Group]
		f.mu.Unlock()
		tags := map[string]string{"aws:autoscaling:groupName": m.Group, "aws:ec2launchtemplate:id": source.template,
			"aws:ec2launchtemplate:version": m.Version}
		if i.State.Name != terminated { // a terminated instance has neither address nor profile
			i.Address = m.Address
		}
		key := source.template + " " + m.Version
		if _, known := templates[key]; !known {
			templates[key], _ = f.templateVersion(ctx, source.template, m.Version) // a deleted one says nothing
		}
		if t := templates[key]; t != nil {
			i.Image, i.Type = aws.ToString(t.ImageId), string(t.InstanceType)
			if p := t.IamInstanceProfile; p != nil && i.State.Name != terminated {
				name := path.Base(cmp.Or(aws.ToString(p.Name), aws.ToString(p.Arn)))
				i.Profile = &profile{"arn:aws:iam::" + account + ":instance-profile/" + name}
			}
			for _, s := range t.TagSpecifications {
				for _, t := range s.Tags {
					if s.ResourceType == "instance" {
						tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
					}
				}
			}
		}
		for _, k := range slices.Sorted(maps.Keys(tags)) {
			i.Tags = append(i.Tags, tag{k, tags[k]})
		}
		all = append(all, i)
	}
	return all
}

// stateOf returns the state of an instance of a group.
func (f *front) stateOf(id, group string, on bool) string {
	f.mu.Lock()
	asked := f.ending[id]
	f.mu.Unlock()
	_, all, _ := f.sim.Snapshot(group) // a deleted group has no instances
	n := slices.IndexFunc(all, func(i asgsim.Instance) bool { return i.ID == id })
	switch gone := n < 0 || all[n].State == types.LifecycleStateTerminatingProceed; {
	case on && (gone || asked == terminated):
		return shuttingDown
	case on && asked == stopped:
		return stopping
	case on:
		return running
	case n < 0 || asked == terminated:
		return terminated
	default: // "By default, when you initiate a shutdown from an EBS-backed instance, the instance stops"
		return stopped
	}
}

// values returns the values of the list name.1, name.2, ... of a call in EC2's protocol.
func values(form url.Values, name string) (all []string) {
	for n := 1; form.Has(name + "." + strconv.Itoa(n)); n++ {
		all = append(all, form.Get(name+"."+strconv.Itoa(n)))
	}
	return all
}

// selected returns the instances that a call names by id and by filters. Filters may have the wildcards * and ?.
func (f *front) selected(ctx context.Context, form url.Values) ([]instance, error) {
	all, ids := f.instances(ctx), values(form, "InstanceId")
	for _, id := range ids {
		if !slices.ContainsFunc(all, func(i instance) bool { return i.ID == id }) {
			return nil, &smithy.GenericAPIError{Code: "InvalidInstanceID.NotFound",
				Message: fmt.Sprintf("The instance ID '%s' does not exist", id)}
		}
	}
	if len(ids) > 0 {
		all = slices.DeleteFunc(all, func(i instance) bool { return !slices.Contains(ids, i.ID) })
	}
	for n := 1; form.Has(fmt.Sprintf("Filter.%d.Name", n)); n++ {
		name, wanted := form.Get(fmt.Sprintf("Filter.%d.Name", n)), values(form, fmt.Sprintf("Filter.%d.Value", n))
		if _, known := (instance{}).value(name); !known {
			return nil, &smithy.GenericAPIError{Code: "InvalidParameterValue",
				Message: fmt.Sprintf("The filter '%s' is invalid", name)}
		}
		all = slices.DeleteFunc(all, func(i instance) bool {
			v, _ := i.value(name)
			return !slices.ContainsFunc(wanted, func(w string) bool { ok, _ := path.Match(w, v); return ok })
		})
	}
	return all, nil
}

// value returns the value of a filter for an instance, and whether the rehearsal has this filter.
func (i instance) value(filter string) (string, bool) {
	if key, ok := strings.CutPrefix(filter, "tag:"); ok {
		n := slices.IndexFunc(i.Tags, func(t tag) bool { return t.Key == key })
		if n < 0 {
			return "", true
		}
		return i.Tags[n].Value, true
	}
	v, ok := map[string]string{"instance-id": i.ID, "instance-state-name": i.State.Name, "availability-zone": i.Zone,
		"private-ip-address": i.Address, "instance-type": i.Type}[filter]
	return v, ok
}

// answer writes the elements of an answer of EC2, or an error.
func answer(w http.ResponseWriter, elements any, err error) {
	if err != nil {
		asgsim.WriteResponse(w, "", nil, err)
		return
	}
	w.Header().Set("Content-Type", "text/xml")
	start := xml.StartElement{Name: xml.Name{Local: "Response"}}
	_ = xml.NewEncoder(w).EncodeElement(elements, start) // fails only if the client went away
}

func describeInstances(f *front, w http.ResponseWriter, r *http.Request, form url.Values) {
	all, err := f.selected(r.Context(), form)
	answer(w, struct {
		Instances []instance `xml:"reservationSet>item>instancesSet>item"`
	}{all}, err)
}

// describeInstanceStatus: "IncludeAllInstances: When true, includes the health status for all instances. When false,
// includes the health status for running instances only." The status checks of a running machine always pass.
func describeInstanceStatus(f *front, w http.ResponseWriter, r *http.Request, form url.Values) {
	type status struct {
		ID       string `xml:"instanceId"`
		Zone     string `xml:"availabilityZone"`
		State    state  `xml:"instanceState"`
		Instance string `xml:"instanceStatus>status"`
		System   string `xml:"systemStatus>status"`
	}
	var out struct {
		Items []status `xml:"instanceStatusSet>item"`
	}
	all, err := f.selected(r.Context(), form)
	for _, i := range all {
		switch {
		case i.State.Name == running:
			out.Items = append(out.Items, status{i.ID, i.Zone, i.State, "ok", "ok"})
		case form.Get("IncludeAllInstances") == "true":
			out.Items = append(out.Items, status{i.ID, i.Zone, i.State, "not-applicable", "not-applicable"})
		}
	}
	answer(w, out, err)
}

// end returns TerminateInstances or StopInstances, by the state in which instances end. The operating system shuts
// down as usual; with Force "the instances do not have an opportunity to flush file system caches". The simulator
// notices that a machine is off, as the EC2 health check does: "If an instance is in any state other than running ...
// Amazon EC2 Auto Scaling considers it unhealthy".
func end(final string) operation {
	passing := map[string]string{terminated: shuttingDown, stopped: stopping}[final]
	return func(f *front, w http.ResponseWriter, r *http.Request, form url.Values) {
		if !form.Has("InstanceId.1") {
			answer(w, nil, &smithy.GenericAPIError{Code: "MissingParameter",
				Message: "The request must contain the parameter InstanceId"})
			return
		}
		all, err := f.selected(r.Context(), form)
		var out struct {
			Items []change `xml:"instancesSet>item"`
		}
		for _, i := range all {
			c := change{i.ID, i.State, i.State}
			if i.State.Name == running || i.State.Name == stopping {
				c.Current = stateOf(passing)
				logf("%s: %s %s", form.Get("Action"), i.group, i.ID)
				f.mu.Lock()
				f.ending[i.ID] = final
				f.mu.Unlock()
				if form.Get("Force") == "true" {
					go f.host.PowerOff(i.ID)
				} else {
					go f.host.Stop(i.ID)
				}
			} else if final == terminated && i.State.Name == stopped {
				c.Current = stateOf(terminated)
				f.mu.Lock()
				f.ending[i.ID] = final
				f.mu.Unlock()
			}
			out.Items = append(out.Items, c)
		}
		answer(w, out, err)
	}
}

// rebootInstances: "This operation is asynchronous; it only queues a request to reboot the specified instances. ...
// Requests to reboot terminated instances are ignored."
func rebootInstances(f *front, w http.ResponseWriter, r *http.Request, form url.Values) {
	all, err := f.selected(r.Context(), form)
	for _, i := range all {
		if i.State.Name == running && form.Has("InstanceId.1") {
			logf("RebootInstances: %s %s", i.group, i.ID)
			f.host.Reboot(i.ID)
		}
	}
	answer(w, struct {
		Return bool `xml:"return"`
	}{true}, err)
}
