package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"imagery/infra/testing/asgsim"
	"imagery/infra/testing/nspawn"
)

// endpoint is the AWS endpoint of the rehearsal.
const endpoint = nspawn.Address + ":4566"

var begun = time.Now()

// logf prints a line about an event.
func logf(format string, args ...any) {
	fmt.Printf("%6.1f s  %s\n", time.Since(begun).Seconds(), fmt.Sprintf(format, args...))
}

// rehearse runs moto, the machines and Pulumi. It runs in namespaces of its own.
func rehearse(ctx context.Context, o options) error {
	if err := namespaces(); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil { // it is closed once the link is up
		return fmt.Errorf("wait for the link: %w", err)
	}
	for _, s := range []string{"link set lo up", "addr add " + innerAddress + "/30 dev " + innerLink,
		"link set " + innerLink + " up"} {
		if err := ip(s); err != nil {
			return err
		}
	}
	names, err := newHosts(o.work)
	if err != nil {
		return err
	}
	// The provider calls S3 Control at <account>.<host>.
	if err := names.add(nspawn.Address, account+"."+nspawn.Address); err != nil {
		return err
	}
	m, err := startMoto(o.work)
	if err != nil {
		return err
	}
	defer func() { _ = m.cmd.Process.Kill() }() // it may have ended
	var f *front
	host, err := nspawn.New(nspawn.Options{Dir: o.work, Root: o.root, Zones: zones, Log: logf,
		UserData:    func(of asgsim.Machine) string { return f.userData(of) },
		Role:        func(group string) string { return f.role(group) },
		Environment: []string{"AWS_ENDPOINT_URL=http://" + endpoint, "AWS_ENDPOINT_URL_AUTO_SCALING=http://" + endpoint},
	})
	if err != nil {
		return err
	}
	defer host.Close()
	sim := asgsim.New(asgsim.Options{Driver: host, Factor: factor, Log: logf})
	defer sim.Close()
	host.Simulator = sim
	f = newFront(m, sim, host, names, mailFile(o.work))
	f.rights.late.delay = o.late
	defer f.rights.report(o.work + "-rights.txt") // the folder is removed at the end
	l, err := net.Listen("tcp", endpoint)
	if err != nil {
		return fmt.Errorf("listen for calls of AWS APIs: %w", err)
	}
	server := &http.Server{Handler: f}
	go func() { _ = server.Serve(l) }() // until Close
	defer server.Close()
	logs := host.Logs()
	go f.alarms.Run(ctx, func() { logs.Read(f.logged) }, f.sample)
	logf("AWS APIs are at http://%s; mails to the operator are appended to %s", endpoint, f.topics.Mail)
	if err := os.MkdirAll(filepath.Join(o.work, "state"), 0o755); err != nil {
		return err
	}
	p := pulumi{o.work}
	if o.acceptance {
		err = p.acceptance(ctx, o)
	} else {
		err = p.up(ctx)
	}
	if err != nil {
		return err
	}
	if o.acceptance && !o.keep {
		return nil // the stack is gone
	}
	logf("pulumi up ended; photos are processed at http://127.0.0.1:%d", o.port)
	if o.keep {
		fmt.Printf(howTo, endpoint, region, administratorKey, o.work, filepath.Join(o.work, "pulumi"))
		<-ctx.Done()
	}
	return nil
}

// mailFile returns the file to which mails are appended.
func mailFile(work string) string { return filepath.Join(work, "mail") }

// howTo explains the use of the stack of a rehearsal that is kept.
const howTo = `
For the commands of an operator, in another terminal:
  export AWS_ENDPOINT_URL=http://%s AWS_REGION=%s AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=rehearsal
  export PULUMI_BACKEND_URL=file://%s/state PULUMI_HOME=%s PULUMI_CONFIG_PASSPHRASE=rehearsal
  go run ./app status --stack rehearsal
Ctrl-C ends the rehearsal and removes everything.
`

// namespaces makes mounts private and mounts a /proc of this PID namespace.
func namespaces() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}

// pulumi runs the CLI on a stack whose state and settings are in a folder of their own.
type pulumi struct{ home string }

// environment returns the variables of what uses the stack.
func (p pulumi) environment() []string {
	return append(os.Environ(), "PULUMI_BACKEND_URL=file://"+p.home+"/state", "PULUMI_HOME="+p.home+"/pulumi",
		"PULUMI_CONFIG_PASSPHRASE=rehearsal", "PULUMI_SKIP_UPDATE_CHECK=true",
		"PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true", "AWS_ACCESS_KEY_ID="+deployerKey,
		"AWS_SECRET_ACCESS_KEY=rehearsal", "AWS_REGION="+region, "AWS_ENDPOINT_URL=http://"+endpoint)
}

// stackName is the name of the stack.
const stackName = "rehearsal"

// settings of the stack that differ from a stack on AWS: the endpoint, machines of this kind, a backlog that this
// computer can make and process, a bake whose alarms have the periods of a rehearsal, and a boot that gives up and says
// why before the launch hook of 90 s ends it. It waits longer than policies are late in an acceptance run.
var settings = [][2]string{{"aws:region", region}, {"aws:s3UsePathStyle", "true"},
	{"aws:skipCredentialsValidation", "true"}, {"aws:skipMetadataApiCheck", "true"}, {"imagery:arch", "amd64"},
	{"imagery:serverType", "t3.small"}, {"imagery:workerType", "c7i.large"}, {"imagery:backlogPerWorker", "5"},
	{"imagery:bakeSeconds", "45"}, {"imagery:bootRetrySeconds", "70"}, {"imagery:alarmEmail", "operator@example.com"},
	{"imagery:ssm", "true"}} // operators run commands on machines

func (p pulumi) up(ctx context.Context) error {
	stack := []string{"--stack", stackName, "--config-file", filepath.Join(p.home, "Pulumi.rehearsal.yaml")}
	if err := p.run(ctx, "stack", "init", stackName); err != nil {
		return err
	}
	_ = os.Remove("Pulumi.rehearsal.yaml") // which `stack init` writes into the checkout if secrets have a passphrase
	for _, kv := range settings {
		if err := p.run(ctx, append([]string{"config", "set", kv[0], kv[1]}, stack...)...); err != nil {
			return err
		}
	}
	return p.run(ctx, append(stack, "up", "--yes", "--skip-preview", "--non-interactive", "--suppress-progress")...)
}

// acceptance runs scripts/acceptance, which makes the stack itself.
func (p pulumi) acceptance(ctx context.Context, o options) error {
	facts, err := json.Marshal(map[string]any{"factor": factor, "settings": settings, "emulator": motoVersion(ctx),
		"late": o.late.Seconds(), "mail": mailFile(p.home)})
	if err != nil {
		return err
	}
	args := append([]string{stackName}, o.scenes...)
	if o.keep {
		args = append(args, "--keep")
	}
	c := exec.CommandContext(ctx, "scripts/acceptance", args...)
	c.Env = append(p.environment(), "IMAGERY_REHEARSAL="+string(facts))
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	return c.Run()
}

// run runs one command of the CLI and shows its output.
func (p pulumi) run(ctx context.Context, args ...string) error {
	c := exec.CommandContext(ctx, "pulumi", args...)
	c.Env = p.environment()
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("pulumi %s: %w", args[0], err)
	}
	return nil
}
