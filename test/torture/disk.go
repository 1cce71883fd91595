package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
)

// disk is a small file system of its own.
type disk struct{ dir string }

func mountDisk(dir string) (*disk, error) {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", diskSize)); err != nil {
		return nil, fmt.Errorf("mount a tmpfs on %s: %w", dir, err)
	}
	return &disk{dir}, nil
}

func (d *disk) filler() string { return filepath.Join(d.dir, "filler") }

// fill takes all that is left but some bytes.
func (d *disk) fill(leave int) error {
	f, err := os.OpenFile(d.filler(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it is only there to be in the way
	block := make([]byte, 64<<10)
	for len(block) >= 512 {
		if _, err = f.Write(block); errors.Is(err, syscall.ENOSPC) {
			block, err = block[:len(block)/2], nil
		}
		if err != nil {
			return err
		}
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return f.Truncate(max(0, info.Size()-int64(leave)))
}

func (d *disk) free() error { return os.Remove(d.filler()) }

// grow makes the disk ample: a log that has grown over all of a small one leaves
// no room for its own pages in the database file.
func (d *disk) grow() error {
	err := syscall.Mount("tmpfs", d.dir, "tmpfs", syscall.MS_REMOUNT, fmt.Sprintf("size=%d,mode=0700", ampleSize))
	if err != nil {
		return fmt.Errorf("make %s larger: %w", d.dir, err)
	}
	return nil
}

// unmount lets the disk go. With keep, what was on it stays under its name.
func (d *disk) unmount(keep bool) error {
	kept := d.dir + ".kept"
	if keep {
		_ = os.Remove(d.filler()) // which holds nothing
		if out, err := exec.Command("cp", "-a", d.dir, kept).CombinedOutput(); err != nil {
			return fmt.Errorf("keep %s: %w: %s", d.dir, err, out)
		}
	}
	if err := syscall.Unmount(d.dir, syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", d.dir, err)
	}
	if !keep {
		return nil
	}
	return errors.Join(os.Remove(d.dir), os.Rename(kept, d.dir))
}

// inNamespace is in the environment of the process that may mount.
const inNamespace = "HOLDFAST_TORTURE_NAMESPACE"

// enterNamespace runs this program again, where it may mount without anybody
// else seeing it. It returns false where the system does not allow that.
func enterNamespace() (code int, ran bool) {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inNamespace+"=yes")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM)
	signal.Ignore(os.Interrupt) // the terminal tells the child too
	defer signal.Reset(syscall.SIGTERM, os.Interrupt)
	if err := cmd.Start(); err != nil {
		return 0, false
	}
	go func() {
		for s := range told {
			_ = cmd.Process.Signal(s)
		}
	}()
	var exit *exec.ExitError
	if err := cmd.Wait(); errors.As(err, &exit) {
		return exit.ExitCode(), true
	}
	return 0, true
}

// mayMount tells whether a tmpfs can be mounted, having tried.
func mayMount(parent string) error {
	if os.Getenv(inNamespace) == "" {
		return errors.New("no mount namespace of its own")
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(parent, "torture-mount-")
	if err != nil {
		return err
	}
	defer os.Remove(dir) //nolint:errcheck // empty
	d, err := mountDisk(dir)
	if err != nil {
		return err
	}
	return d.unmount(false)
}
