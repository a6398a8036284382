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
	"strings"
	"syscall"
	"time"

	"imagery/app/admin/fsck"
	"imagery/app/budget"
	"imagery/app/deploy/settings"
	"imagery/app/store/local"
)

// Local is a service on this machine.
type Local struct {
	Settings settings.Settings
	Say      func(error) string
}

// What a machine must have left for the service to go on.
const (
	leastFree  = 100 << 20 // bytes: some photos of the largest size with their results
	littleFree = 1 << 30
	leastFiles = 1024 // each process may hold 500 waits, as many clients, and the database
	mostSocket = 107  // bytes of a socket's name on Linux; 103 elsewhere
)

// Examine looks at the data folder and the machine.
func (l Local) Examine(ctx context.Context) []Finding {
	var list []Finding
	for _, a := range []struct {
		name string
		look func(context.Context, *area)
	}{{"data", l.data}, {"memory", l.memory}, {"port", l.port}, {"files", l.files}, {"clock", l.clock}} {
		found := &area{name: a.name, say: l.Say}
		a.look(ctx, found)
		list = append(list, found.found...)
	}
	return list
}

// data looks at the folder, or where it will be made.
func (l Local) data(_ context.Context, a *area) {
	dir := l.Settings.Data
	named := settings.Named("data")
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		parent := existing(dir)
		if err := writable(parent); err != nil {
			a.wrong("there is no data folder "+dir+", and "+parent+" cannot be written: "+err.Error(), "the service will not start", "choose another folder ("+named+")")
			return
		}
		a.info("there is no data folder "+dir+" yet", "the service makes it when it starts", "")
		l.space(a, parent)
		return
	}
	if err := local.Check(dir); err != nil {
		a.wrong(err.Error(), "the service will not start", "choose another folder ("+named+")")
		return
	}
	if err := writable(dir); err != nil {
		a.wrong("the data folder "+dir+" cannot be written: "+err.Error(), "no photo can be accepted", "ls -ld "+dir+"; choose another folder, or its owner ("+named+")")
		return
	}
	a.ok("the data folder %s can be written", dir)
	l.space(a, dir)
	if _, err := os.Stat(filepath.Join(dir, "imagery.db")); errors.Is(err, fs.ErrNotExist) {
		a.info("there is no database in it yet", "the service makes it when it starts", "")
		return
	}
	newest, err := fsck.Newest(dir)
	if err != nil {
		a.wrong("the database is not sound: "+err.Error(), "photos may be lost", "stop the service, copy the folder, then: imagery fsck")
		return
	}
	a.ok("the database is sound")
	if ahead := time.Until(newest); ahead > skewWarning {
		a.warn(fmt.Sprintf("its newest transition is %s ahead of this clock", ahead.Round(time.Second)), "the clock was set back: hints wait that much longer", "date; timedatectl")
	}
}

// existing is the folder, or the nearest one above it that is there.
func existing(dir string) string {
	dir, err := filepath.Abs(dir)
	for err == nil {
		if _, missing := os.Stat(dir); missing == nil || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	return dir
}

// writable makes a file and removes it.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return errors.Unwrap(err)
	}
	_, err = f.WriteString("x")
	return errors.Join(err, f.Close(), os.Remove(f.Name()))
}

func (l Local) space(a *area, dir string) {
	free, ok := freeBytes(dir)
	text := fmt.Sprintf("%d MiB are free on its disk", free>>20)
	const do = "df -h; remove what is not needed, or choose another disk (-data, IMAGERY_DATA)"
	switch {
	case !ok:
		a.info("free space cannot be read on this system", "", "")
	case free < leastFree:
		a.wrong(text, "uploads are answered with 503 until there is more", do)
	case free < littleFree:
		a.warn(text, "that is room for some dozen photos", do)
	default:
		a.ok("%s", text)
	}
}

// memory plans as a fleet does when it starts, and names the largest photo of the kind that needs most memory.
func (l Local) memory(_ context.Context, a *area) {
	cores, have := runtime.GOMAXPROCS(0), l.Settings.Memory
	most := settings.PlanWorker(cores, have, l.Settings.MaxPixels).Photos
	if have == 0 {
		have = budget.Measured()
		most = settings.PlanLocal(cores, have, l.Settings.MaxPixels).Photos
	}
	if need := settings.LargestPeak(l.Settings.MaxPixels); most < need {
		a.info(fmt.Sprintf("one photo can have %d MiB of memory, some of the largest need %d MiB", most>>20, need>>20+1),
			"those are refused at upload, with a size that passes", "more memory, or a plain JPEG instead")
		return
	}
	a.ok("one photo can have %d MiB of memory, which is enough for the largest", most>>20)
}

// port looks whether the service can listen, or does so already.
func (l Local) port(ctx context.Context, a *area) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", l.Settings.Listen)
	if err == nil {
		_ = listener.Close() // it was only looked at
		a.ok("%s is free", l.Settings.Listen)
		return
	}
	named := settings.Named("listen")
	if !errors.Is(err, syscall.EADDRINUSE) {
		a.wrong("nobody can listen on "+l.Settings.Listen+": "+err.Error(), "the service will not start", "choose another address ("+named+")")
		return
	}
	host, port, _ := net.SplitHostPort(l.Settings.Listen)
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "localhost"
	}
	base := "http://" + net.JoinHostPort(host, port)
	release, _, err := version(ctx, base)
	if err != nil || release == "" {
		a.wrong(l.Settings.Listen+" is taken by another program", "the service will not start", "imagery -listen 8081 (or "+named+")")
		return
	}
	a.ok("a service of release %.12s runs at %s", release, base)
}

// files looks at what the system allows a process to open, and at the name of the sockets.
func (l Local) files(_ context.Context, a *area) {
	if n, ok := openFiles(); !ok {
		a.info("the limit of open files cannot be read on this system", "", "")
	} else if n < leastFiles {
		a.warn(fmt.Sprintf("a process may open %d files", n), "with many clients at once, connections are refused", fmt.Sprintf("ulimit -n %d", leastFiles))
	} else {
		a.ok("a process may open %d files", n)
	}
	dir, err := filepath.Abs(l.Settings.Data)
	if err != nil {
		a.wrong("the data folder's path: "+err.Error(), "the service will not start", settings.Named("data"))
		return
	}
	name := filepath.Join(dir, "wake", "4194304-1.sock") // with the longest number of a process
	if len(name) > mostSocket {
		a.warn(fmt.Sprintf("the data folder's path is %d bytes too long for sockets", len(name)-mostSocket), "servers cannot wake workers: photos wait for the next look, about a second",
			"choose a shorter path ("+settings.Named("data")+")")
	} else {
		a.ok("sockets fit into the data folder's path")
	}
}

// clock compares with the disk, whose clock is another one on a network.
func (l Local) clock(_ context.Context, a *area) {
	dir := existing(l.Settings.Data)
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return // said by data
	}
	info, err := f.Stat()
	err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	if err != nil {
		a.wrong("the clock of the disk: "+strings.ReplaceAll(err.Error(), "\n", "; "), "", "")
		return
	}
	if off := time.Since(info.ModTime()).Abs(); off > skewWarning {
		a.warn(fmt.Sprintf("the disk's clock differs by %s", off.Round(time.Second)), "files are swept too early or too late", "timedatectl set-ntp true, here and where the disk is")
		return
	}
	a.ok("the clocks of machine and disk agree")
}
