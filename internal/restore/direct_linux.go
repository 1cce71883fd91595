package restore

import (
	"os"
	"syscall"
)

// openDirect opens the file at path, if the filesystem lets it. A variable for tests alone.
var openDirect = func(path string) direct {
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_DIRECT, 0)
	if err != nil {
		return direct{}
	}
	return direct{f}
}
