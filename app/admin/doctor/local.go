package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"imagery/app/admin/fsck"
	"imagery/app/budget"
	"imagery/app/deploy/settings"
	"imagery/app/store/local"
)

const (
	minFreeSpace  = 100 << 20 // bytes: a few photos of maximum size with their results
	lowFreeSpace  = 1 << 30   // bytes
	minOpenFiles  = 1024      // 500 long polls of a process, as many other clients, and the database
	maxSocketPath = 107       // bytes, on Linux; 103 on other systems
)

// Local is a service on this machine.
type Local settings.Settings

// Examine checks the data folder and the machine.
func (l Local) Examine(ctx context.Context) []Finding {
	return examine(ctx, error.Error, area{"data", l.data, false}, area{"memory", l.memory, false},
		area{"port", l.port, false}, area{"files", l.files, false})
}

const notStarting = "the service will not start"

// data checks the data folder or, if it does not exist, the folder in which it will be created.
func (l Local) data(_ context.Context, r *report) {
	dir, another := l.Data, "choose another folder ("+settings.Named("data")+")"
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		parent := existing(dir)
		if err := r.writable(parent); err != nil {
			r.wrong("there is no data folder "+dir+", and "+parent+" cannot be written: "+err.Error(), notStarting, another)
			return
		}
		r.info("there is no data folder "+dir+" yet", "the service creates it when it starts", "")
		return
	}
	if err := local.Check(dir); err != nil {
		r.wrong(err.Error(), notStarting, another)
		return
	}
	if err := r.writable(dir); err != nil {
		r.wrong("the data folder "+dir+" cannot be written: "+err.Error(), "no photo can be accepted",
			"ls -ld "+dir+", then change its owner, or "+another)
		return
	}
	r.ok("the data folder %s can be written", dir)
	if _, err := os.Stat(filepath.Join(dir, "imagery.db")); errors.Is(err, fs.ErrNotExist) {
		r.info("there is no database in it yet", "the service creates it when it starts", "")
		return
	}
	newest, err := fsck.Newest(dir)
	if err != nil {
		r.wrong("the database is damaged: "+err.Error(), "photos may be lost",
			"stop the service, copy the folder, then: imagery fsck")
		return
	}
	r.ok("the database is intact")
	if ahead := time.Until(newest); ahead > skewWarning {
		r.warn(fmt.Sprintf("its newest transition is %s ahead of this clock", ahead.Round(time.Second)),
			"the clock was set back: hints are delayed by as much", "date; timedatectl")
	}
}

// existing returns dir or its nearest parent that exists.
func existing(dir string) string {
	dir, err := filepath.Abs(dir)
	for err == nil && dir != filepath.Dir(dir) {
		if _, missing := os.Stat(dir); missing == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	return dir
}

// writable creates and removes a file in dir. If that succeeds, it checks the free space, and compares this machine's
// clock with that of the disk, which differs if the disk is on the network.
func (r *report) writable(dir string) error {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return errors.Unwrap(err) // without the path, which contains a random name
	}
	_, err = f.WriteString("x")
	info, statErr := f.Stat()
	if err := errors.Join(err, statErr, f.Close(), os.Remove(f.Name())); err != nil {
		return err
	}
	if off := time.Since(info.ModTime()).Abs(); off > skewWarning {
		r.warn(fmt.Sprintf("the disk's clock differs by %s", off.Round(time.Second)),
			"files are swept too early or too late", "timedatectl set-ntp true, here and on the machine with the disk")
	} else {
		r.ok("the clocks of machine and disk agree")
	}
	free, ok := freeBytes(dir)
	text := fmt.Sprintf("%d MiB are free on its disk", free>>20)
	const do = "df -h; free some space, or choose another disk (-data, IMAGERY_DATA)"
	switch {
	case !ok:
		r.info("free space cannot be read on this system", "", "")
	case free < minFreeSpace:
		r.wrong(text, "uploads get status 503 until there is more", do)
	case free < lowFreeSpace:
		r.warn(text, "this is enough for a few dozen photos", do)
	default:
		r.ok("%s", text)
	}
	return nil
}

// memory compares the memory plan of the service with the need of the largest photo.
func (l Local) memory(_ context.Context, r *report) {
	cores, memory := runtime.GOMAXPROCS(0), l.Memory
	photos := settings.PlanWorker(cores, memory, l.MaxPixels).Photos
	if memory == 0 {
		photos = settings.PlanLocal(cores, budget.Measured(), l.MaxPixels).Photos
	}
	if need := settings.LargestPeak(l.MaxPixels); photos < need {
		r.info(fmt.Sprintf("one photo can have %d MiB of memory, some of the largest need %d MiB", photos>>20, need>>20+1),
			"those are rejected at upload, with a size that would be accepted", "add memory, or send a baseline JPEG instead")
		return
	}
	r.ok("one photo can have %d MiB of memory, which is enough for the largest", photos>>20)
}

// port checks that the service can listen, or is running already.
func (l Local) port(ctx context.Context, r *report) {
	address, named := l.Listen, settings.Named("listen")
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err == nil {
		_ = listener.Close()
		r.ok("%s is free", address)
		return
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		r.wrong("cannot listen on "+address+": "+err.Error(), notStarting,
			"choose another address ("+named+")")
		return
	}
	host, port, _ := net.SplitHostPort(address)
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "localhost"
	}
	base := "http://" + net.JoinHostPort(host, port)
	release, _, err := version(ctx, base)
	if err != nil || release == "" {
		r.wrong(address+" is taken by another program", notStarting, "imagery -listen 8081 (or "+named+")")
		return
	}
	r.ok("a service of release %.12s runs at %s", release, base)
}

// files checks the limit of open files, and the length of socket paths.
func (l Local) files(_ context.Context, r *report) {
	if n, ok := openFiles(); !ok {
		r.info("the limit of open files cannot be read on this system", "", "")
	} else if n < minOpenFiles {
		r.warn(fmt.Sprintf("a process may open %d files", n), "connections are rejected when there are many clients",
			fmt.Sprintf("ulimit -n %d", minOpenFiles))
	} else {
		r.ok("a process may open %d files", n)
	}
	dir, err := filepath.Abs(l.Data)
	if err != nil {
		r.wrong("the data folder's path: "+err.Error(), notStarting, settings.Named("data"))
		return
	}
	name := filepath.Join(dir, "wake", "4194304-1.sock") // with the longest process id
	if len(name) > maxSocketPath {
		r.warn(fmt.Sprintf("the data folder's path is %d bytes too long for sockets", len(name)-maxSocketPath),
			"servers cannot notify workers: a photo waits up to a second for the next poll",
			"choose a shorter path ("+settings.Named("data")+")")
	} else {
		r.ok("sockets fit into the data folder's path")
	}
}
