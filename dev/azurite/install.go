package azurite

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/holdfast-db/holdfast/dev/child"
)

const guardName = "guard.cjs"

var (
	//go:embed package.json
	packageJSON []byte
	//go:embed package-lock.json
	packageLock []byte
	//go:embed guard.cjs
	guard []byte
)

// install returns the directory under root that holds exactly the packages of
// the lock file. Programs that install at the same time wait for each other,
// and one that was interrupted leaves nothing that looks finished.
func install(ctx context.Context, root string, notify func(string)) (string, error) {
	home := filepath.Join(root, "azurite-"+version())
	if _, err := os.Stat(home); err == nil {
		return home, nil
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", errors.New("npm is not on the PATH: install it with Node.js 20 or newer")
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(root, "azurite.lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(home); err == nil {
		return home, nil
	}
	notify("installing Azurite from the npm registry (once, about half a minute)")
	return home, fetch(ctx, npm, root, home)
}

func fetch(ctx context.Context, npm, root, home string) error {
	tmp, err := os.MkdirTemp(root, "azurite-*.tmp")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	for name, data := range map[string][]byte{"package.json": packageJSON, "package-lock.json": packageLock, guardName: guard} {
		if err := os.WriteFile(filepath.Join(tmp, name), data, 0o644); err != nil {
			return err
		}
	}
	p, err := child.Start(child.Command{
		Path:  npm,
		Args:  []string{"ci", "--prefix", tmp, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"},
		Log:   filepath.Join(root, "azurite-install.log"),
		Death: syscall.SIGKILL,
	})
	if err != nil {
		return fmt.Errorf("npm: %w", err)
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		p.Stop()
		return ctx.Err()
	}
	if !p.Success() {
		return fmt.Errorf("install Azurite with npm ci: %w", p.Err())
	}
	return os.Rename(tmp, home)
}

// version names the content of the installation.
func version() string {
	h := sha256.New()
	for _, b := range [][]byte{packageJSON, packageLock, guard} {
		_, _ = h.Write(b)
	}
	return fmt.Sprintf("%.6x", h.Sum(nil))
}

func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { _ = f.Close() }, nil
}
