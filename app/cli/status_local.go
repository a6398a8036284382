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

// noFleet is the problem of a data folder on which nothing runs.
const noFleet = "no fleet runs on this folder; start it: imagery -data "

// processes asks the fleet that runs on the data folder for its processes.
func (l look) processes(ctx context.Context) (f fleetPart) {
	f.Groups, f.Members = []group{}, []member{}
	file, err := os.ReadFile(filepath.Join(l.Data, local.FleetFile))
	if errors.Is(err, fs.ErrNotExist) {
		f.part = absent(noFleet + l.Data)
		return f
	}
	if err != nil {
		f.part = broken(err)
		return f
	}
	f.URL, _, _ = strings.Cut(strings.TrimSpace(string(file)), " ") // its process id stands behind it
	state, err := askFleet(ctx, f.URL)
	if err != nil {
		f.part = broken(fmt.Errorf("the fleet was at %s, and does not answer: %w", f.URL, err))
		return f
	}
	if !sameFolder(state.Data, l.Data) { // what a killed fleet wrote, and another one listens there now
		f.part = absent(noFleet + l.Data)
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
	f.count()
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

// fleetState is what the fleet's page is made of.
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

// fleetBound is above what a fleet needs to ask processes that hang.
const fleetBound = 5 * time.Second

func askFleet(ctx context.Context, url string) (s fleetState, err error) {
	ctx, cancel := context.WithTimeout(ctx, fleetBound)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/_fleet.json", nil)
	if err != nil {
		return s, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return s, errors.Unwrap(err) // without the address, which stands beside it
	}
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	if res.StatusCode != http.StatusOK {
		return s, fmt.Errorf("it answered %s", res.Status)
	}
	return s, json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&s)
}
