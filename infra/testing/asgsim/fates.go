package asgsim

import "time"

// ByVersion gives the machines of some versions of the launch template a fate, and all others Boots.
func ByVersion(fates map[string]Fate) func(Machine) Fate {
	return func(m Machine) Fate {
		if f, named := fates[m.Version]; named {
			return f
		}
		return Boots()
	}
}

// Boots is a good machine: 40 s of boot, two of the balancer's checks, 10 s to say good-bye.
func Boots() Fate {
	return Fate{Boot: 40 * time.Second, Answer: Continue, Checks: 20 * time.Second, Drain: 10 * time.Second, Console: "boot: ready\n"}
}

// FailsBoot gives up: it says why on its console, answers ABANDON and powers off.
func FailsBoot(why string) Fate {
	return Fate{Boot: 30 * time.Second, Answer: Abandon, Console: "IMAGERY BOOT FAILED: " + why + "\n"}
}

// Hangs never answers its hook.
func Hangs() Fate { return Fate{Console: "boot: waiting\n"} }

// Refused is not started at all, as when EC2 has no room.
func Refused(why string) Fate { return Fate{Refused: why} }

// FailsUnderLoad boots well; the balancer's checks fail so long after it came into service.
func FailsUnderLoad(after time.Duration) Fate {
	f := Boots()
	f.SickAfter = after
	f.Console += "panic: out of memory\n"
	return f
}

// Rings boots well and passes every check; so long after it came into service an alarm is red, until it is gone.
func Rings(alarm string, after time.Duration) Fate {
	f := Boots()
	f.Alarm, f.AlarmAfter = alarm, after
	return f
}
