package nspawn

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Check are a target group's health checks.
type Check struct {
	Path               string
	Interval, Timeout  time.Duration
	Healthy, Unhealthy int
	Port               int
}

// slots is the number of HAProxy servers. Each machine takes one and none is used twice, so that statistics stay apart.
const slots = 120

// proxy is HAProxy as an application load balancer: it repeats no request, sends none to a target whose checks have not
// passed, and drains.
type proxy struct {
	cmd    *exec.Cmd
	socket string
	port   int
	used   atomic.Int32 // slots
}

const proxyConfig = `global
  stats socket %[1]s level admin
  maxconn 2000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout http-request 60s
  timeout queue 5s
  retries 0
frontend door
  bind %[2]s:%[10]d
  use_backend open if { nbsrv(servers) eq 0 }
  default_backend servers
backend servers
  balance leastconn
  option httpchk GET %[3]s
  http-check expect status 200
  timeout check %[4]dms
  http-response set-header X-Served-By %%s
  default-server check inter %[7]dms rise %[8]d fall %[9]d
%[11]s  server-template m %[12]d-%[5]d 10.99.0.2:%[6]d disabled
# An application load balancer whose targets are all unhealthy sends requests to all of them.
backend open
  balance leastconn
  http-response set-header X-Served-By %%s
%[11]s  server-template m %[12]d-%[5]d 10.99.0.2:%[6]d disabled
`

// startProxy starts HAProxy. It takes the place of before, if not nil, which finishes its requests and exits. Healthy
// targets, slot -> address, receive requests at once.
func startProxy(dir, address string, port int, c Check, before *proxy, healthy map[string]string) (*proxy, error) {
	p := &proxy{socket: filepath.Join(dir, "proxy.sock"), port: c.Port}
	if before != nil {
		p.used.Store(before.used.Load())
	}
	var targets strings.Builder
	for slot, target := range healthy {
		fmt.Fprintf(&targets, "  server %s %s:%d\n", slot, target, c.Port)
	}
	config := filepath.Join(dir, "proxy.cfg")
	// However short a test's times are, a check may take half a second: machines do not get faster.
	text := fmt.Sprintf(proxyConfig, p.socket, address, c.Path, max(500, c.Timeout.Milliseconds()), slots, c.Port,
		c.Interval.Milliseconds(), c.Healthy, c.Unhealthy, port, targets.String(), p.used.Load()+1)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, fmt.Errorf("configure the balancer: %w", err)
	}
	p.cmd = exec.Command("haproxy", "-db", "-f", config)
	if before != nil {
		p.cmd.Args = append(p.cmd.Args, "-sf", strconv.Itoa(before.cmd.Process.Pid))
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the balancer: %w", err)
	}
	for range 100 {
		// The process before has the same socket until this one takes it over.
		info, err := p.ask("show info")
		if err == nil && strings.Contains(info+"\n", fmt.Sprintf("\nPid: %d\n", p.cmd.Process.Pid)) {
			return p, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.close()
	return nil, fmt.Errorf("the balancer does not answer on its socket")
}

func (p *proxy) close() {
	_ = p.cmd.Process.Kill() // it may be gone
	_ = p.cmd.Wait()
}

// ask sends one command to the runtime API.
func (p *proxy) ask(command string) (string, error) {
	c, err := net.DialTimeout("unix", p.socket, 2*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := io.WriteString(c, command+"\n"); err != nil {
		return "", err
	}
	out, err := io.ReadAll(c)
	return strings.TrimSpace(string(out)), err
}

// set changes a slot of both backends. Its effect is seen in the state, so that errors are ignored.
func (p *proxy) set(slot, what string) {
	_, _ = p.ask("set server servers/" + slot + " " + what + ";set server open/" + slot + " " + what)
}

// add gives an address a slot, down until the checks pass.
func (p *proxy) add(address string) string {
	slot := fmt.Sprintf("m%d", p.used.Add(1))
	p.set(slot, fmt.Sprintf("addr %s port %d", address, p.port))
	p.set(slot, "state drain")
	_, _ = p.ask("set server servers/" + slot + " health down") // until its checks pass
	p.set(slot, "state ready")
	return slot
}

// up reports whether requests are sent to the slot.
func (p *proxy) up(slot string) bool {
	out, err := p.ask("show stat servers 4 -1") // servers only
	if err != nil {
		return false
	}
	const status = 17 // column of the CSV
	for line := range strings.Lines(out) {
		if f := strings.Split(line, ","); len(f) > status && f[1] == slot {
			return strings.HasPrefix(f[status], "UP") || strings.HasPrefix(f[status], "DRAIN")
		}
	}
	return false
}
