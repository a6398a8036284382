package asgsim

import (
	"context"
	"errors"
	"sync"
	"time"

	cw "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// Script describes how a simulated machine behaves.
type Script struct {
	// Boot is the time from power-on to the completion of the launch hook.
	Boot time.Duration
	// Answer is the lifecycle action result. Any result but Continue is followed by power-off; with "" the machine
	// hangs.
	Answer string
	// Checks is the time from registration to the first healthy check; with Unhealthy no check ever passes.
	Checks    time.Duration
	Unhealthy bool
	// Drain is the time until the terminate hook is completed; negative: never.
	Drain time.Duration
	// Refused, if set, is the error of the launch request; Died is the reason for which EC2 terminates the instance
	// before it boots.
	Refused, Died string
	// UnhealthyAfter, if set, is the time from registration after which health checks fail.
	UnhealthyAfter time.Duration
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
	machines map[string]*simulated
}

// simulated is a simulated machine.
type simulated struct {
	script       Script
	on, draining bool
	registered   time.Time
}

// bootFailureDelay is the delay after which EC2 terminates an instance that it cannot boot. Not documented.
const bootFailureDelay = 20 * time.Second

// Start implements Driver.
func (m *Memory) Start(_ context.Context, machine Machine) error {
	script := m.Script(machine)
	if script.Refused != "" {
		return errors.New(script.Refused)
	}
	if script.Died != "" {
		m.Simulator.sleep(bootFailureDelay)
		return &DiedError{script.Died}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.machines == nil {
		m.machines = map[string]*simulated{}
	}
	m.machines[machine.ID] = &simulated{script: script, on: true}
	m.Simulator.all.Go(func() { m.run(machine, script) })
	return nil
}

// run runs a machine's script: boot, alarm, and the reaction to its termination.
func (m *Memory) run(machine Machine, script Script) {
	s := m.Simulator
	if script.Answer == "" || !s.sleep(script.Boot) || !m.complete(machine, Launching, script.Answer) {
		return
	}
	if script.Answer != Continue {
		m.Stop(machine.ID)
		return
	}
	if script.Alarm != "" {
		s.all.Go(func() { m.runAlarm(machine, script.Alarm) })
	}
	for s.TargetState(machine.ID) != "Terminated" {
		if !s.sleep(5 * time.Second) {
			return
		}
	}
	if script.Drain >= 0 && s.sleep(script.Drain) {
		m.complete(machine, Terminating, Continue)
	}
}

// runAlarm keeps the script's alarm in ALARM as long as it is due for any machine.
func (m *Memory) runAlarm(machine Machine, alarm string) {
	active := false
	for on := true; on; {
		on = m.Simulator.sleep(time.Second) && m.Running(machine.ID)
		if due := m.alarmDue(alarm); due != active {
			active = due
			m.Simulator.SetAlarms(map[bool]cw.StateValue{true: cw.StateValueAlarm, false: cw.StateValueOk}[due], alarm)
		}
	}
}

// alarmDue reports whether a machine has the alarm in its script, has served for AlarmAfter and serves.
func (m *Memory) alarmDue(alarm string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range m.machines {
		if v.script.Alarm == alarm && v.on && !v.draining && !v.registered.IsZero() &&
			time.Since(v.registered) >= m.Simulator.scaled(v.script.AlarmAfter) {
			return true
		}
	}
	return false
}

// Console implements Driver.
func (m *Memory) Console(id string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v := m.machines[id]; v != nil {
		return v.script.Console
	}
	return ""
}

// complete completes a lifecycle hook and retries until that succeeds, as the boot script does. It returns false if the
// machine stops before.
func (m *Memory) complete(machine Machine, transition, result string) bool {
	for m.Running(machine.ID) {
		s := m.Simulator
		h := s.hook(machine.Group, transition)
		if h == nil || s.complete(machine.Group, h.Name, machine.ID, result) == nil {
			return true
		}
		if !s.sleep(6 * time.Second) {
			return false
		}
	}
	return false
}

// FailHealthChecks makes the target health checks of a machine fail from now on.
func (m *Memory) FailHealthChecks(id string) {
	m.update(id, func(v *simulated) { v.script.Unhealthy = true })
}

// Running implements Driver.
func (m *Memory) Running(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.machines[id]
	return v != nil && v.on
}

// Stop implements Driver. Tests call it for a crash.
func (m *Memory) Stop(id string) { m.update(id, func(v *simulated) { v.on = false }) }

// Register implements Driver.
func (m *Memory) Register(id string) {
	m.update(id, func(v *simulated) { v.registered, v.draining = time.Now(), false })
}

// Drain implements Driver.
func (m *Memory) Drain(id string) { m.update(id, func(v *simulated) { v.draining = true }) }

// Deregister implements Driver.
func (m *Memory) Deregister(id string) {
	m.update(id, func(v *simulated) { v.registered = time.Time{} })
}

// update changes a machine, if it exists.
func (m *Memory) update(id string, change func(*simulated)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v := m.machines[id]; v != nil {
		change(v)
	}
}

// Health implements Driver.
func (m *Memory) Health(id string) elb.TargetHealthStateEnum {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.machines[id]
	switch {
	case v == nil || !v.on || v.script.Unhealthy, v.script.UnhealthyAfter > 0 && !v.registered.IsZero() &&
		time.Since(v.registered) >= m.Simulator.scaled(v.script.UnhealthyAfter):
		return elb.TargetHealthStateEnumUnhealthy
	case time.Since(v.registered) < m.Simulator.scaled(v.script.Checks):
		return elb.TargetHealthStateEnumInitial
	default:
		return elb.TargetHealthStateEnumHealthy
	}
}
