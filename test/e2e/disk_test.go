package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-db/holdfast/test/stack"
)

// Sizes in bytes.
const (
	diskSize  = 12 << 20
	staleSize = 3 << 20
)

// disk is a small file system that holds a database's state directory and
// nothing else.
type disk struct {
	t   *testing.T
	dir string
}

// smallDisk mounts one where the database's state directory will be.
func (s *stand) smallDisk() *disk {
	s.t.Helper()
	d := &disk{s.t, filepath.Join(s.dir, ".orders.db-holdfast")}
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	err := syscall.Mount("tmpfs", d.dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", diskSize))
	if errors.Is(err, fs.ErrPermission) {
		s.t.Skipf("mount a tmpfs on %s: %v", d.dir, err)
	}
	if err != nil {
		s.t.Fatalf("mount a tmpfs on %s: %v", d.dir, err)
	}
	s.t.Cleanup(func() {
		if err := syscall.Unmount(d.dir, syscall.MNT_DETACH); err != nil {
			s.t.Error(err)
		}
	})
	return d
}

func (d *disk) path(name string) string { return filepath.Join(d.dir, name) }

// fill takes all that is left.
func (d *disk) fill() error {
	f, err := os.OpenFile(d.path("filler"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it is only there to be in the way
	for page := bytes.Repeat([]byte("full"), 1024); err == nil; {
		_, err = f.Write(page)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	return nil
}

// write makes files that say their names, and returns what contents does.
func (d *disk) write(names ...string) map[string]string {
	d.t.Helper()
	for _, name := range names {
		if err := os.MkdirAll(filepath.Dir(d.path(name)), 0o700); err != nil {
			d.t.Fatal(err)
		}
		if err := os.WriteFile(d.path(name), []byte("this is "+name), 0o600); err != nil {
			d.t.Fatal(err)
		}
	}
	return d.contents(names...)
}

// contents reads files, all of which must be there.
func (d *disk) contents(names ...string) map[string]string {
	d.t.Helper()
	all := map[string]string{}
	for _, name := range names {
		b, err := os.ReadFile(d.path(name))
		if err != nil {
			d.t.Error(err)
		}
		all[name] = string(b)
	}
	return all
}

// mustHold fails where a file is not as it was.
func (d *disk) mustHold(want map[string]string) {
	d.t.Helper()
	for name, content := range want {
		if got := d.contents(name)[name]; got != content {
			d.t.Errorf("%s was changed: %d bytes, want %d", name, len(got), len(content))
		}
	}
}

// spooled lists the files in the spool that bear the name of an entry.
func (d *disk) spooled() []string {
	d.t.Helper()
	names, err := fs.Glob(os.DirFS(d.dir), "spool/0000000000??????.ltx")
	if err != nil {
		d.t.Fatal(err)
	}
	return names
}

// stale is the name of what an attempt left that died while it spooled.
const stale = "spool/0000000000000009.0badcafe.tmp"

func (d *disk) leaveStale() {
	d.t.Helper()
	if err := os.WriteFile(d.path(stale), make([]byte, staleSize), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// asRoot tells whether the test may go on, as a user who may mount. Who may not
// runs it again as root of a user namespace, and has its result already.
func asRoot(t *testing.T) bool {
	t.Helper()
	if os.Getuid() == 0 {
		return true
	}
	running, err := json.Marshal(stack.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), stack.Variable+"="+string(running))
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	t.Logf("in a user namespace of its own: %v\n%s", err, out)
	switch {
	case strings.Contains(string(out), "--- PASS: "+t.Name()):
	case strings.Contains(string(out), "--- SKIP: "+t.Name()), cmd.Process == nil:
		t.Skip("this user may neither mount nor make a user namespace; run it as root")
	default:
		t.Error("it did not pass")
	}
	return false
}
