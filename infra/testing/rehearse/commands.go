package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/smithy-go"

	"imagery/infra/testing/authz"
)

// jsonOperations are calls of JSON protocols, by X-Amz-Target, that are not passed on to moto.
var jsonOperations = map[string]func(f *front, w http.ResponseWriter, r *http.Request, body []byte){
	"AmazonSSM.SendCommand":          sendCommand,
	"AmazonSSM.GetCommandInvocation": getCommandInvocation,
}

// commands holds the invocations of Systems Manager's Run Command.
type commands struct {
	mu  sync.Mutex
	all map[string]*invocation // by command id and instance id
}

// invocation is a command on one instance, as GetCommandInvocation describes it. "If the plugin hasn't completed", the
// response code is -1.
type invocation struct {
	CommandId, InstanceId, DocumentName         string
	Status, StatusDetails                       string
	ResponseCode                                int
	StandardOutputContent, StandardErrorContent string
}

// outputLimit: "The first 24,000 characters written by the plugin".
const outputLimit = 24000

// sendCommand implements SendCommand with the document AWS-RunShellScript, for instances by id or by tag. A command
// runs as root in a shell.
func sendCommand(f *front, w http.ResponseWriter, r *http.Request, body []byte) {
	var in struct {
		DocumentName string
		InstanceIds  []string
		Targets      []struct {
			Key    string
			Values []string
		}
		Parameters map[string][]string
	}
	if err := json.Unmarshal(body, &in); err != nil || in.DocumentName != "AWS-RunShellScript" {
		writeJSON(w, nil, &smithy.GenericAPIError{Code: "InvalidDocument",
			Message: "the rehearsal has the document AWS-RunShellScript only"})
		return
	}
	form := url.Values{}
	for n, id := range in.InstanceIds {
		form.Set(fmt.Sprintf("InstanceId.%d", n+1), id)
	}
	for n, target := range in.Targets {
		form.Set(fmt.Sprintf("Filter.%d.Name", n+1), strings.Replace(target.Key, "InstanceIds", "instance-id", 1))
		for m, v := range target.Values {
			form.Set(fmt.Sprintf("Filter.%d.Value.%d", n+1, m+1), v)
		}
	}
	all, err := f.selected(r.Context(), form)
	if len(in.Targets) > 0 { // tags also match instances that are gone
		all = slices.DeleteFunc(all, func(i instance) bool { return i.State.Name != running })
	}
	unmanaged := func(i instance) bool { return !f.managed(r.Context(), i) }
	if len(form) == 0 || err != nil || slices.ContainsFunc(all, unmanaged) {
		writeJSON(w, nil, &smithy.GenericAPIError{Code: "InvalidInstanceId", Message: fmt.Sprintf(
			"Instances %v not in a valid state for account %s: they must run, and their role must have the permissions of "+
				"Session Manager (imagery:ssm)", in.InstanceIds, account)})
		return
	}
	timeout := time.Hour // "executionTimeout: default 3600"
	if t := in.Parameters["executionTimeout"]; len(t) == 1 {
		n, _ := strconv.Atoi(t[0])
		timeout = time.Duration(n) * time.Second
	}
	id := f.commands.start(f.host, all, timeout, strings.Join(in.Parameters["commands"], "\n"))
	writeJSON(w, map[string]any{"Command": map[string]any{"CommandId": id, "DocumentName": in.DocumentName,
		"InstanceIds": in.InstanceIds, "Parameters": in.Parameters, "Status": "Pending", "StatusDetails": "Pending",
		"TargetCount": len(all)}}, nil)
}

// managed reports whether Systems Manager manages an instance: it runs, and its role allows the call with which the
// agent registers.
func (f *front) managed(ctx context.Context, i instance) bool {
	request := authz.Request{Action: "ssm:UpdateInstanceInformation", Resource: "*"}
	policies, err := f.rights.policies(ctx, f.role(i.group), request)
	return err == nil && i.State.Name == running && authz.Evaluate(policies, request) == nil
}

// start runs a script on instances and returns the id of the command.
func (c *commands) start(host machines, on []instance, timeout time.Duration, script string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = map[string]*invocation{}
	}
	id := fmt.Sprintf("%08x-0000-4000-8000-%012x", time.Now().Unix(), len(c.all)+1)
	for _, i := range on {
		v := &invocation{CommandId: id, InstanceId: i.ID, DocumentName: "AWS-RunShellScript", Status: "InProgress",
			StatusDetails: "InProgress", ResponseCode: -1}
		c.all[id+" "+i.ID] = v
		go c.run(host, v, timeout, script)
	}
	return id
}

// run runs the script of an invocation.
func (c *commands) run(host machines, v *invocation, timeout time.Duration, script string) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout) // the rehearsal's end kills all processes
	defer cancel()
	var out, errOut bytes.Buffer
	cmd := host.Command(ctx, v.InstanceId, "/bin/sh", "-c", script)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	cmd.WaitDelay = time.Second // children of the script may keep its output open
	err := cmd.Run()
	c.mu.Lock()
	defer c.mu.Unlock()
	v.StandardOutputContent = out.String()[:min(out.Len(), outputLimit)]
	v.StandardErrorContent = errOut.String()[:min(errOut.Len(), outputLimit)]
	v.Status, v.ResponseCode = "Success", 0
	switch exit := (*exec.ExitError)(nil); {
	case ctx.Err() != nil:
		v.Status = "TimedOut"
	case errors.As(err, &exit):
		v.Status, v.ResponseCode = "Failed", exit.ExitCode()
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		v.Status, v.ResponseCode, v.StandardErrorContent = "Failed", 1, err.Error()
	}
	v.StatusDetails = v.Status
}

func getCommandInvocation(f *front, w http.ResponseWriter, _ *http.Request, body []byte) {
	var in struct{ CommandId, InstanceId string }
	_ = json.Unmarshal(body, &in) // an invocation without id does not exist
	f.commands.mu.Lock()
	defer f.commands.mu.Unlock()
	v := f.commands.all[in.CommandId+" "+in.InstanceId]
	if v == nil {
		writeJSON(w, nil, &smithy.GenericAPIError{Code: "InvocationDoesNotExist"})
		return
	}
	writeJSON(w, v, nil)
}

// writeJSON answers a call of a JSON protocol.
func writeJSON(w http.ResponseWriter, out any, err error) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if api := (*smithy.GenericAPIError)(nil); errors.As(err, &api) {
		w.WriteHeader(http.StatusBadRequest)
		out = map[string]string{"__type": api.Code, "message": api.Message}
	}
	_ = json.NewEncoder(w).Encode(out) // fails only if the client went away
}
