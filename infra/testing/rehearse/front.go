package main

import (
	"bytes"
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"time"

	cwapi "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"imagery/infra/testing/asgsim"
	"imagery/infra/testing/cloudwatch"
	"imagery/infra/testing/nspawn"
	topics "imagery/infra/testing/sns"
)

// front is the AWS endpoint of Pulumi, of the machines and of operators. It passes calls on to moto, except those about
// what moto does not run: instances, their health, instance refreshes and lifecycle hooks, which the simulator answers,
// states of alarms, and subscriptions of topics.
type front struct {
	moto      *moto
	pass      http.Handler
	sim       *asgsim.Simulator
	simulated http.Handler
	host      machines
	names     *hosts
	rights    *rights
	commands  commands
	metrics   *cloudwatch.Store
	alarms    *cloudwatch.Alarms
	watch     http.Handler // of CloudWatch
	topics    *topics.Service
	ages      *ages
	kept      kept

	following sync.Mutex // held while the load balancer or a zone changes; taken before mu
	balanced  balancer
	cut       map[string]bool // zones that are off the network

	mu       sync.Mutex
	groups   map[string]groupSource
	ending   map[string]string   // instances that operators terminated or stopped
	policies map[string]tracking // by ARN
	traffic  nspawn.Traffic      // at the last sample
}

// machines are those of nspawn.Host, with its load balancer and its zones.
type machines interface {
	Machines() []nspawn.Status
	Stop(id string)
	PowerOff(id string)
	Reboot(id string)
	Command(ctx context.Context, id string, command ...string) *exec.Cmd
	Zone(name string, up bool) error
	Balance(port int, c nspawn.Check) error
	StopBalancer()
	Traffic() (nspawn.Traffic, error)
}

// groupSource holds what the machines of a group are made from, and the metrics of the group that are enabled.
type groupSource struct {
	template string            // id of the launch template
	role     string            // IAM role of the instance profile
	subnets  map[string]string // id -> zone
	metrics  []string
}

// newFront returns a front that appends mails to a file.
func newFront(m *moto, s *asgsim.Simulator, h machines, names *hosts, mail string) *front {
	pass := passTo(m.address)
	f := &front{moto: m, pass: pass, sim: s, simulated: s.Handler(), host: h, names: names, rights: newRights(m),
		groups: map[string]groupSource{}, cut: map[string]bool{}, ending: map[string]string{},
		kept:    kept{policies: map[string]string{}, queues: map[string]map[string]string{}},
		metrics: &cloudwatch.Store{}, ages: newAges(), policies: map[string]tracking{}}
	f.rights.role, f.rights.bucket = f.launchRole, f.kept.bucketPolicy
	f.topics = f.newTopics(mail)
	f.alarms = &cloudwatch.Alarms{API: cwapi.NewFromConfig(m.config), Metrics: f.metrics, Factor: factor,
		RealTime: realTime, Log: logf, Publish: f.publish, Scale: f.scale,
		Observe: func(name string, state types.StateValue) { s.SetAlarms(state, name) }}
	f.watch = f.alarms.Handler(pass)
	return f
}

// passTo returns a handler that passes calls on to an address.
func passTo(address string) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: address})
			r.Out.Host = r.In.Host // it is a part of signatures, and of the links that moto returns
		},
		ErrorLog: log.New(io.Discard, "", 0), // clients that went away
	}
}

// ServeHTTP answers one call of an AWS API.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	cloudwatch.JSONForCBOR(http.HandlerFunc(f.answer)).ServeHTTP(w, r)
}

// answer answers a call that is not in CBOR.
func (f *front) answer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client went away
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	c := callOf(r, body)
	if err := f.rights.check(r.Context(), c); err != nil {
		refuse(w, c, err)
		return
	}
	answer := &watched{ResponseWriter: w, status: http.StatusOK, keep: c.service == "sqs" || c.service == "dynamodb"}
	begun := time.Now()
	f.serve(answer, r, c, body)
	f.answered(c, body, answer, begun)
}

// serve answers a call that is allowed.
func (f *front) serve(w http.ResponseWriter, r *http.Request, c call, body []byte) {
	if r.Method == http.MethodGet && r.URL.Query().Has("Action") { // a link in a message of SNS
		body = []byte(r.URL.RawQuery)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if strings.HasPrefix(r.Header.Get("X-Amz-Target"), cloudwatch.Target) {
		f.watch.ServeHTTP(w, r)
		return
	}
	if serve := jsonOperations[r.Header.Get("X-Amz-Target")]; serve != nil {
		serve(f, w, r, body)
		return
	}
	if serve := corrections[c.action]; serve != nil {
		serve(f, w, r, c, body)
		return
	}
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		f.pass.ServeHTTP(w, r) // S3, DynamoDB, SQS and others that do not speak the Query protocol
		return
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if serve := operations[form.Get("Action")]; serve != nil {
		serve(f, w, r, form)
		return
	}
	f.pass.ServeHTTP(w, r)
}
