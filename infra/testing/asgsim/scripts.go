package asgsim

import "time"

// ByVersion returns a Memory.Script that selects a script by launch template version. Other versions get Boots.
func ByVersion(scripts map[string]Script) func(Machine) Script {
	return func(m Machine) Script {
		if f, named := scripts[m.Version]; named {
			return f
		}
		return Boots()
	}
}

// Boots returns the script of a healthy instance: 40 s boot, 20 s until healthy, 10 s to drain.
func Boots() Script {
	return Script{Boot: 40 * time.Second, Answer: Continue, Checks: 20 * time.Second, Drain: 10 * time.Second,
		Console: "boot: ready\n"}
}

// FailsBoot writes the reason on the console, completes the launch hook with ABANDON and powers off.
func FailsBoot(reason string) Script {
	return Script{Boot: 30 * time.Second, Answer: Abandon, Console: "IMAGERY BOOT FAILED: " + reason + "\n"}
}

// Hangs never completes its launch hook.
func Hangs() Script { return Script{Console: "boot: waiting\n"} }

// Refused makes EC2 reject the launch, as with insufficient capacity.
func Refused(reason string) Script { return Script{Refused: reason} }

// FailsUnderLoad boots; its target health checks fail once it has been in service for the given time.
func FailsUnderLoad(after time.Duration) Script {
	f := Boots()
	f.SickAfter = after
	f.Console += "panic: out of memory\n"
	return f
}

// Rings boots and stays healthy. The alarm is in ALARM from the given time after the instance entered service until it
// terminates.
func Rings(alarm string, after time.Duration) Script {
	f := Boots()
	f.Alarm, f.AlarmAfter = alarm, after
	return f
}
