package nspawn

import (
	"cmp"
	"time"

	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// Balance starts the load balancer on a port, with the health checks of its target group. One that runs already gets
// the new port and checks without losing a request or a target.
func (h *Host) Balance(port int, c Check) error {
	h.targets.Lock()
	defer h.targets.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	before, healthy := h.proxy, map[string]string{}
	for _, m := range h.machines {
		if m.state != "" && m.slot != "" && before != nil && before.up(m.slot) {
			healthy[m.slot] = m.address
		}
	}
	p, err := startProxy(h.Dir, cmp.Or(h.bind, Address), port, c, before, healthy)
	if err != nil {
		return err
	}
	if before != nil {
		go func() { _ = before.cmd.Wait() }() // it exits after its last request
	}
	for _, m := range h.machines {
		if m.state != "" && healthy[m.slot] == "" {
			m.slot = p.add(m.address)
		}
		if m.state == "drain" {
			p.set(m.slot, "state drain")
		}
	}
	h.Check, h.proxy = c, p
	return nil
}

// StopBalancer stops the load balancer, if there is one. Targets stay registered.
func (h *Host) StopBalancer() {
	h.targets.Lock()
	defer h.targets.Unlock()
	h.mu.Lock()
	p := h.proxy
	h.proxy = nil
	h.mu.Unlock()
	if p != nil {
		p.close()
	}
}

// Register adds the machine to the load balancer.
func (h *Host) Register(id string) {
	h.targets.Lock()
	defer h.targets.Unlock()
	m := h.get(id)
	h.mu.Lock()
	defer h.mu.Unlock()
	m.since, m.state = time.Now(), "ready"
	if h.proxy != nil {
		m.slot = h.proxy.add(m.address)
	}
}

// Drain stops new requests to the machine.
func (h *Host) Drain(id string) { h.setTarget(id, "drain") }

// Deregister removes the machine from the load balancer.
func (h *Host) Deregister(id string) { h.setTarget(id, "maint") }

// setTarget changes the state of a target to one of HAProxy's.
func (h *Host) setTarget(id, state string) {
	h.targets.Lock()
	defer h.targets.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.machines[id]
	if m.state = state; state == "maint" {
		m.state = ""
	}
	if h.proxy != nil && m.slot != "" {
		h.proxy.set(m.slot, "state "+state)
	}
}

// Health returns the result of the load balancer's health checks.
func (h *Host) Health(id string) elb.TargetHealthStateEnum {
	h.mu.Lock()
	m, p := h.machines[id], h.proxy
	slot := m.slot
	h.mu.Unlock()
	up := p != nil && slot != "" && p.up(slot)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case up:
		m.healthy = true
		return elb.TargetHealthStateEnumHealthy
	case p == nil: // "Target.NotInUse - The target group is not configured to receive traffic from the load balancer"
		return elb.TargetHealthStateEnumUnused
	case !m.healthy && time.Since(m.since) < time.Duration(h.Check.Unhealthy+h.Check.Healthy)*h.Check.Interval:
		return elb.TargetHealthStateEnumInitial
	default:
		return elb.TargetHealthStateEnumUnhealthy
	}
}
