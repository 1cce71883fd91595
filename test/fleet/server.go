package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"go.temporal.io/sdk/client"
)

// server is a Temporal of one row's own, which may be killed and started again at the
// same address.
type server struct {
	client  client.Client
	address string

	bin   string
	dir   string // of its state
	ports []string
	run   *exec.Cmd // nil while it is down
	stdin io.Closer // ends it
}

// newServer starts one. It ends with this process at the latest.
func (f *fleet) newServer(ctx context.Context) (*server, error) {
	s := &server{bin: filepath.Join(f.bin, "holdfast-dev"), dir: filepath.Join(f.dir, "temporal"), ports: []string{"--temporal-port", "0", "--ui-port", "0"}}
	if err := s.start(); err != nil {
		return nil, err
	}
	var err error
	if s.client, err = client.DialContext(ctx, client.Options{HostPort: s.address, Logger: silent{}}); err != nil {
		s.kill()
		return nil, err
	}
	return s, nil
}

// start returns when clients can use the server.
func (s *server) start() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	s.run = exec.Command(s.bin, append([]string{"up", "--json", "--until-stdin-closes", "--only", "temporal", "--dir", s.dir}, s.ports...)...)
	s.run.Stderr = os.Stderr
	var err error
	if s.stdin, err = s.run.StdinPipe(); err != nil {
		return err
	}
	stdout, err := s.run.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.run.Start(); err != nil {
		return err
	}
	var at struct{ Temporal, UI string }
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &at)
	}
	if err != nil {
		s.kill()
		return fmt.Errorf("start a Temporal of its own: %w", err)
	}
	return s.found(at.Temporal, at.UI)
}

// found notes where the server is, to be there again.
func (s *server) found(temporal, ui string) error {
	u, err := url.Parse(ui)
	if err != nil {
		return err
	}
	s.address, s.ports = temporal, nil
	for flag, address := range map[string]string{"--temporal-port": temporal, "--ui-port": u.Host} {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return err
		}
		s.ports = append(s.ports, flag, port)
	}
	return nil
}

// kill ends the server as kill -9 does.
func (s *server) kill() {
	if s.run == nil {
		return
	}
	_ = s.run.Process.Kill()
	_ = s.run.Wait()
	s.run = nil
	for c, err := net.Dial("tcp", s.address); err == nil; c, err = net.Dial("tcp", s.address) { // a program that it had started
		_ = c.Close()
		time.Sleep(10 * time.Millisecond)
	}
}

// lose takes from a server that is down what it has kept.
func (s *server) lose() error { return os.RemoveAll(s.dir) }

func (s *server) end() {
	s.client.Close()
	s.kill()
}
