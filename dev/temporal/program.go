package temporal

import (
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/holdfast-db/holdfast/dev/child"
	"github.com/holdfast-db/holdfast/dev/port"
)

const programGrace = 5 * time.Second

// startProgram runs the development server of the temporal program. Its file
// is not the embedded server's: the two may differ in schema.
func startProgram(path string, o Options) (process, error) {
	args := []string{
		"server", "start-dev", "--headless=false", "--ip", port.Loopback,
		"--port", fmt.Sprint(o.Port), "--ui-port", fmt.Sprint(o.UIPort),
		"--db-filename", filepath.Join(o.Data, "temporal-program.db"), "--log-level", "warn",
	}
	for name, kind := range SearchAttributes {
		args = append(args, "--search-attribute", name+"="+kind.String())
	}
	return child.Start(child.Command{
		Path:  path,
		Args:  args,
		Log:   filepath.Join(o.Data, "temporal.log"),
		Grace: programGrace,
		Death: syscall.SIGKILL,
	})
}
