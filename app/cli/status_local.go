package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"imagery/app/deploy/settings"
	"imagery/app/store/local"
)

// noFleet is the problem of a data folder without a running fleet.
const noFleet = "no fleet runs on this folder; start it: imagery --data "

// processes reads the processes of the fleet that runs on the data folder.
func (s statusSource) processes(ctx context.Context) (f fleetSection) {
	f.Groups, f.Members = []group{}, []member{}
	file, err := os.ReadFile(filepath.Join(s.Data, local.FleetFile))
	if errors.Is(err, fs.ErrNotExist) {
		f.section = notHere(noFleet + s.Data)
		return f
	}
	if err != nil {
		f.section = unreadable(err)
		return f
	}
	f.URL, _, _ = strings.Cut(strings.TrimSpace(string(file)), " ") // the process id follows
	state, err := readFleet(ctx, f.URL)
	if err != nil {
		f.section = unreadable(fmt.Errorf("the fleet at %s does not answer: %w", f.URL, err))
		return f
	}
	if !sameFolder(state.Data, s.Data) { // the file is of a killed fleet, and another fleet has the port now
		f.section = notHere(noFleet + s.Data)
		return f
	}
	for _, role := range []settings.Role{settings.Server, settings.Worker} {
		f.Groups = append(f.Groups, group{Role: string(role)})
	}
	for _, p := range state.Processes {
		m := member{Name: p.Name, Role: p.Role, State: "not ready", Release: p.Release, PID: p.PID,
			Uptime: p.Uptime, Restarts: p.Restarts, Done: p.Done, InFlight: p.InFlight}
		switch {
		case p.PID == 0:
			m.State = "down"
		case p.Ready:
			m.State = ready
		}
		f.Members = append(f.Members, m)
	}
	f.countMembers()
	for i := range f.Groups {
		f.Groups[i].Desired = f.Groups[i].Members
	}
	return f
}

func sameFolder(a, b string) bool {
	one, errOne := os.Stat(a)
	other, errOther := os.Stat(b)
	return errOne == nil && errOther == nil && os.SameFile(one, other)
}

// fleetState is the answer of /_fleet.json.
type fleetState struct {
	Data      string
	Processes []struct {
		Name, Role, Release string
		PID, Restarts       int
		Uptime, Done        int64
		InFlight            int
		Ready               bool
	}
}

// fleetTimeout is longer than a fleet waits for a process that hangs.
const fleetTimeout = 5 * time.Second

func readFleet(ctx context.Context, url string) (s fleetState, err error) {
	ctx, cancel := context.WithTimeout(ctx, fleetTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/_fleet.json", nil)
	if err != nil {
		return s, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return s, errors.Unwrap(err) // without the address, which the caller adds
	}
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	if res.StatusCode != http.StatusOK {
		return s, fmt.Errorf("it answered %s", res.Status)
	}
	return s, json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&s)
}
