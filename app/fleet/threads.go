package fleet

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
)

// activeStates are the states of a thread that is not frozen: R (running or runnable, also while a CPU limit throttles
// it), D (waiting for a disk or for memory) and t (traced by a debugger). The threads of a stopped process are in T,
// those of a deadlocked one in S.
const activeStates = "RDt"

// anyThreadActive reports whether any thread of the process is in an active state. It returns an error where this
// cannot be determined: only Linux has /proc/PID/task.
func anyThreadActive(pid int) (bool, error) {
	dir := fmt.Sprintf("/proc/%d/task", pid)
	threads, err := os.ReadDir(dir)
	if err != nil {
		return false, fmt.Errorf("list the threads: %w", err)
	}
	for _, t := range threads {
		stat, err := os.ReadFile(dir + "/" + t.Name() + "/stat")
		if err != nil {
			return true, nil // it has ended, so it was active; no other error proves that it is frozen
		}
		state, err := threadState(stat)
		if err != nil {
			return false, err
		}
		if strings.IndexByte(activeStates, state) >= 0 {
			return true, nil
		}
	}
	return false, nil
}

// threadState returns the state from "tid (name) state ...". The name may contain any character, so it ends at the last
// closing parenthesis.
func threadState(stat []byte) (byte, error) {
	end := bytes.LastIndex(stat, []byte(") "))
	if end < 0 || end+2 >= len(stat) {
		return 0, errors.New("unexpected format of a thread's stat file")
	}
	return stat[end+2], nil
}
