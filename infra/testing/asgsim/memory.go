package asgsim

import (
	"context"
	"errors"
	"sync"
	"time"

	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// Script describes how a simulated machine behaves.
type Script struct {
	// Boot is the time from power-on to the completion of the launch hook.
	Boot time.Duration
	// Answer is the lifecycle action result. Any result but Continue is followed by power-off; with "" the machine
	// hangs.
	Answer string
	// Checks is the time from registration to the first healthy check; with Sick no check ever passes.
	Checks time.Duration
	Sick   bool
	// Drain is the time until the terminate hook is completed; negative: never.
	Drain time.Duration
	// Refused, if set, is the error of the launch request; Died is the reason for which EC2 terminates the instance
	// before it boots.
	Refused, Died string
	// SickAfter, if set, is the time after which passing health checks begin to fail.
	SickAfter time.Duration
	// Alarm, if set, names the alarm that is in ALARM from AlarmAfter after the first check until the machine is gone.
	Alarm      string
	AlarmAfter time.Duration
	// Console is the console output.
	Console string
}

// Memory is a Driver that simulates machines in memory. Set Simulator before the first group is created.
type Memory struct {
	Simulator *Simulator
	// Script returns the script of a machine.
	Script func(Machine) Script

	mu       sync.Mutex
	machines map[string]*memory
	ringing  map[string]int // machines that hold an alarm red
}

type memory struct {
	Machine
	script     Script
	on, drains bool
	registered time.Time
}

// diesAfter is the delay after which EC2 terminates an instance that it cannot boot. Not documented.
const diesAfter = 20 * time.Second

// Start begins the boot.
func (m *Memory) Start(ctx context.Context, machine Machine) error {
	script := m.Script(machine)
	if script.Refused != "" {
		return errors.New(script.Refused)
	}
	if script.Died != "" {
		m.Simulator.sleep(diesAfter)
		return &DiedError{script.Died}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.machines == nil {
		m.machines = map[string]*memory{}
	}
	m.machines[machine.ID] = &memory{Machine: machine, script: script, on: true}
	m.Simulator.all.Go(func() { m.live(machine, script) })
	return nil
}

// live runs a machine's script: boot, health, and the reaction to its termination.
func (m *Memory) live(machine Machine, script Script) {
	s := m.Simulator
	if script.Answer == "" || !s.sleep(script.Boot) {
		return
	}
	if !m.answer(machine, Launching, script.Answer) {
		return
	}
	if script.Answer != Continue {
		m.PowerOff(machine.ID)
		return
	}
	if script.Alarm != "" {
		s.all.Go(func() { m.ring(machine, script) })
	}
	for s.TargetState(machine.ID) != "Terminated" {
		if !s.sleep(5 * time.Second) {
			return
		}
	}
	if script.Drain >= 0 && s.sleep(script.Drain) {
		m.answer(machine, Terminating, Continue)
	}
}

// ring sets the alarm while the machine serves.
func (m *Memory) ring(machine Machine, script Script) {
	s := m.Simulator
	red := false
	for m.Running(machine.ID) && s.sleep(time.Second) {
		m.mu.Lock()
		at := m.machines[machine.ID]
		due := !at.drains && !at.registered.IsZero() && time.Since(at.registered) >= s.scaled(script.AlarmAfter)
		m.mu.Unlock()
		if due != red {
			red = due
			m.rings(script.Alarm, red)
		}
	}
	if red {
		m.rings(script.Alarm, false)
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

// Console returns the console output of a machine, also after its termination.
func (m *Memory) Console(id string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at := m.machines[id]; at != nil {
		return at.script.Console
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
	m.machines[id].script.Sick = true
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

// Health follows the script.
func (m *Memory) Health(id string) elb.TargetHealthStateEnum {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.machines[id]
	switch {
	case at == nil || !at.on || at.script.Sick || at.script.SickAfter > 0 && !at.registered.IsZero() && time.Since(at.registered) >= m.Simulator.scaled(at.script.SickAfter):
		return elb.TargetHealthStateEnumUnhealthy
	case time.Since(at.registered) < m.Simulator.scaled(at.script.Checks):
		return elb.TargetHealthStateEnumInitial
	default:
		return elb.TargetHealthStateEnumHealthy
	}
}
