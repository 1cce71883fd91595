// Package shim builds the library that tests preload under programs that use
// SQLite, so that a chosen write or sync fails or kills them: the only way to
// cut SQLite off between two system calls. See preload/shim.c.
package shim

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

//go:embed preload/shim.c
var source []byte

// Build compiles the library for the length of a test and returns its path.
func Build(t testing.TB) string {
	t.Helper()
	lib, err := BuildIn(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return lib
}

// BuildIn compiles the library into dir and returns its path.
func BuildIn(dir string) (string, error) {
	code, lib := filepath.Join(dir, "shim.c"), filepath.Join(dir, "shim.so")
	if err := os.WriteFile(code, source, 0o600); err != nil {
		return "", err
	}
	out, err := exec.Command("gcc", "-shared", "-fPIC", "-O1", "-o", lib, code, "-ldl").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("gcc: %w\n%s", err, out)
	}
	return lib, nil
}

// Actions and calls.
const (
	Kill  = "kill"
	Fail  = "fail"
	Write = "write"
	Sync  = "sync"
)

// Env returns the environment under which the n-th call, of those on files whose
// name ends in suffix, meets with action.
func Env(lib, action, call, suffix string, n int) []string {
	return []string{"LD_PRELOAD=" + lib, fmt.Sprintf("SQLITE_SHIM=%s:%s:%s:%d", action, call, suffix, n)}
}
