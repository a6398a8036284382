package asgsim

import (
	"context"
	"errors"
	"sync"
	"time"

	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// Fate is what becomes of a machine in memory.
type Fate struct {
	// Boot is how long it takes until the machine answers its launch hook.
	Boot time.Duration
	// Answer is the result it gives, after which it powers off unless it is Continue; empty: it hangs for ever.
	Answer string
	// Checks is how long the balancer needs to believe in it; Sick is whether it never does.
	Checks time.Duration
	Sick   bool
	// Drain is how long it takes to answer its terminate hook; negative: it never does.
	Drain time.Duration
	// Refused, if set, is why EC2 does not start it, Died why EC2 ends it before it boots.
	Refused, Died string
	// SickAfter, if set, is how long the balancer's checks pass once they began.
	SickAfter time.Duration
	// Alarm, if set, is red from AlarmAfter after the checks began, and green again when the machine is gone.
	Alarm      string
	AlarmAfter time.Duration
	// Console is what the machine wrote there.
	Console string
}

// Memory is a driver without machines. Set Simulator before the first group is made.
type Memory struct {
	Simulator *Simulator
	// Fate decides by machine.
	Fate func(Machine) Fate

	mu       sync.Mutex
	machines map[string]*memory
	ringing  map[string]int // machines that hold an alarm red
}

type memory struct {
	Machine
	fate       Fate
	on, drains bool
	registered time.Time
}

// diesAfter passes until EC2 ends an instance that it cannot boot. Not documented.
const diesAfter = 20 * time.Second

// Start begins the boot.
func (m *Memory) Start(ctx context.Context, machine Machine) error {
	fate := m.Fate(machine)
	if fate.Refused != "" {
		return errors.New(fate.Refused)
	}
	if fate.Died != "" {
		m.Simulator.sleep(diesAfter)
		return &DiedError{fate.Died}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.machines == nil {
		m.machines = map[string]*memory{}
	}
	m.machines[machine.ID] = &memory{Machine: machine, fate: fate, on: true}
	m.Simulator.all.Go(func() { m.live(machine, fate) })
	return nil
}

// live is the machine's own doing: the boot script and the watch for its end.
func (m *Memory) live(machine Machine, fate Fate) {
	s := m.Simulator
	if fate.Answer == "" || !s.sleep(fate.Boot) {
		return
	}
	if !m.answer(machine, Launching, fate.Answer) {
		return
	}
	if fate.Answer != Continue {
		m.PowerOff(machine.ID)
		return
	}
	if fate.Alarm != "" {
		s.all.Go(func() { m.ring(machine, fate) })
	}
	for s.TargetState(machine.ID) != "Terminated" {
		if !s.sleep(5 * time.Second) {
			return
		}
	}
	if fate.Drain >= 0 && s.sleep(fate.Drain) {
		m.answer(machine, Terminating, Continue)
	}
}

// ring sets the alarm while the machine serves.
func (m *Memory) ring(machine Machine, fate Fate) {
	s := m.Simulator
	red := false
	for m.Running(machine.ID) && s.sleep(time.Second) {
		m.mu.Lock()
		at := m.machines[machine.ID]
		due := !at.drains && !at.registered.IsZero() && time.Since(at.registered) >= s.scaled(fate.AlarmAfter)
		m.mu.Unlock()
		if due != red {
			red = due
			m.rings(fate.Alarm, red)
		}
	}
	if red {
		m.rings(fate.Alarm, false)
	}
}

// rings counts the machines that hold an alarm red.
func (m *Memory) rings(alarm string, more bool) {
	m.mu.Lock()
	if m.ringing == nil {
		m.ringing = map[string]int{}
	}
	if m.ringing[alarm]--; more {
		m.ringing[alarm] += 2
	}
	n := m.ringing[alarm]
	m.mu.Unlock()
	switch {
	case n == 0:
		m.Simulator.Green(alarm)
	case n == 1 && more:
		m.Simulator.Red(alarm)
	}
}

// Console is what the machine wrote there, also when it is gone.
func (m *Memory) Console(id string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at := m.machines[id]; at != nil {
		return at.fate.Console
	}
	return ""
}

// answer repeats what the hook refuses, as the boot script does.
func (m *Memory) answer(machine Machine, transition, result string) bool {
	for m.Running(machine.ID) {
		s := m.Simulator
		s.mu.Lock()
		h := s.groups[machine.Group].hook(transition)
		s.mu.Unlock()
		if h == nil || s.complete(machine.Group, h.Name, machine.ID, result) == nil {
			return true
		}
		if !s.sleep(6 * time.Second) {
			return false
		}
	}
	return false
}

// PowerOff takes a machine's power, as a crash would.
func (m *Memory) PowerOff(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at := m.machines[id]; at != nil {
		at.on = false
	}
}

// Sicken lets the balancer's checks of a machine fail from now on.
func (m *Memory) Sicken(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.machines[id].fate.Sick = true
}

// Running reports whether the machine has power.
func (m *Memory) Running(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.machines[id]
	return at != nil && at.on
}

// Stop takes the power.
func (m *Memory) Stop(id string) { m.PowerOff(id) }

// Register begins the checks.
func (m *Memory) Register(id string) {
	m.target(id, func(at *memory) { at.registered, at.drains = time.Now(), false })
}

// Drain ends new requests.
func (m *Memory) Drain(id string) { m.target(id, func(at *memory) { at.drains = true }) }

// Deregister forgets the target.
func (m *Memory) Deregister(id string) {
	m.target(id, func(at *memory) { at.registered = time.Time{} })
}

func (m *Memory) target(id string, change func(*memory)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at := m.machines[id]; at != nil {
		change(at)
	}
}

// Health follows the fate.
func (m *Memory) Health(id string) elb.TargetHealthStateEnum {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.machines[id]
	switch {
	case at == nil || !at.on || at.fate.Sick || at.fate.SickAfter > 0 && !at.registered.IsZero() && time.Since(at.registered) >= m.Simulator.scaled(at.fate.SickAfter):
		return elb.TargetHealthStateEnumUnhealthy
	case time.Since(at.registered) < m.Simulator.scaled(at.fate.Checks):
		return elb.TargetHealthStateEnumInitial
	default:
		return elb.TargetHealthStateEnumHealthy
	}
}
