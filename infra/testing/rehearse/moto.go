package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"imagery/infra/testing/cloudwatch"
)

// region is the region of the rehearsal. moto knows it, with these zones.
const region = "us-east-1"

var zones = []string{"us-east-1a", "us-east-1b", "us-east-1c"}

// moto is a running moto_server.
type moto struct {
	address string // host:port
	config  aws.Config
	cmd     *exec.Cmd
}

// startMoto starts moto_server on a port of this machine and waits until it answers.
func startMoto(dir string) (*moto, error) {
	m := &moto{address: "127.0.0.1:5555"}
	m.config = aws.Config{Region: region, BaseEndpoint: aws.String("http://" + m.address),
		Credentials: credentials.NewStaticCredentialsProvider("rehearsal", "rehearsal", "")}
	out, err := os.Create(filepath.Join(dir, "moto.log"))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	m.cmd = exec.Command("moto_server", "-H", "127.0.0.1", "-p", "5555")
	m.cmd.Dir, m.cmd.Stdout, m.cmd.Stderr = dir, out, out
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start moto_server: %w", err)
	}
	for range 300 {
		if r, err := http.Get("http://" + m.address + "/moto-api/"); err == nil {
			r.Body.Close()
			return m, m.speakCBOR()
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil, fmt.Errorf("start moto_server: no answer within 30 s, see %s", out.Name())
}

// speakCBOR puts a proxy before moto that translates the protocol of CloudWatch.
func (m *moto) speakCBOR() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen before moto_server: %w", err)
	}
	server := &http.Server{Handler: cloudwatch.JSONForCBOR(passTo(m.address))}
	go func() { _ = server.Serve(l) }() // until the end of the process
	m.address = l.Addr().String()
	m.config.BaseEndpoint = aws.String("http://" + m.address)
	return nil
}

// motoVersion returns the name and the version of the emulator.
func motoVersion(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "moto_server", "--version").Output()
	if err != nil {
		return "moto"
	}
	return "moto " + strings.TrimSpace(string(out))
}
