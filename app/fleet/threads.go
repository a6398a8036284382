package fleet

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
)

// moving holds the states of a thread that does something, would do it if it were let, or is held by a debugger: it
// runs or wants to (also when a CPU limit keeps it from running), waits for a disk or for memory, or is traced. The
// threads of a process that was stopped are in T, those of one that waits for ever are in S.
const moving = "RDt"

// moves reports whether any thread of the process moves now. An error says that this cannot be known: only Linux has
// such files.
func moves(pid int) (bool, error) {
	dir := fmt.Sprintf("/proc/%d/task", pid)
	threads, err := os.ReadDir(dir)
	if err != nil {
		return false, fmt.Errorf("list the threads: %w", err)
	}
	for _, t := range threads {
		stat, err := os.ReadFile(dir + "/" + t.Name() + "/stat")
		if err != nil {
			return true, nil // it ended meanwhile, so it ran; nor would any other error prove that it stands still
		}
		state, err := stateIn(stat)
		if err != nil {
			return false, err
		}
		if strings.IndexByte(moving, state) >= 0 {
			return true, nil
		}
	}
	return false, nil
}

// stateIn finds the state in "tid (name) state ...". The name may hold anything, so its end is the last parenthesis.
func stateIn(stat []byte) (byte, error) {
	end := bytes.LastIndex(stat, []byte(") "))
	if end < 0 || end+2 >= len(stat) {
		return 0, errors.New("the state of a thread is not where it should be")
	}
	return stat[end+2], nil
}
