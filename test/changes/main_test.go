package changes_test

import (
	"flag"
	"os"
	"testing"
)

// roleKey makes this program something else than a test: see TestMain.
const roleKey = "HOLDFAST_CHANGES_ROLE"

// TestMain lets the program play the other processes of a test, so that they can
// be killed.
func TestMain(m *testing.M) {
	switch os.Getenv(roleKey) {
	case "application":
		playApplication(os.Args[1])
	case "worker":
		playWorker(os.Args[1], os.Args[2])
	default:
		flag.Parse()
		_ = flag.Set("test.parallel", "16") // what runs beside others waits, most of the time
		os.Exit(m.Run())
	}
}
