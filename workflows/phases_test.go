package workflows_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast/workflows"
)

// TestEachPhaseIsExplained holds operations.md to what the programs say.
func TestEachPhaseIsExplained(t *testing.T) {
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	declared, err := os.ReadFile("api.go")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`(?m)^\t(\w+) +Phase = "(\w+)"`).FindAllStringSubmatch(string(declared), -1)
	if all := workflows.Phases(); len(names) != len(all) || len(all) == 0 {
		t.Errorf("%d phases are declared, %d listed", len(names), len(all))
	}
	for _, p := range workflows.Phases() {
		m := p.Meaning()
		if m.What == "" || m.Do == "" {
			t.Errorf("%s is not explained", p)
		}
		if row := "| `" + string(p) + "` | " + m.What + " | " + m.Do + " |"; !strings.Contains(string(text), row) {
			t.Errorf("operations.md has no line\n%s", row)
		}
	}
}
