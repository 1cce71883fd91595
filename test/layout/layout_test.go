// Package layout_test enforces the architecture: which package may import
// which, judged on direct imports as `go list` tells them.
package layout_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/holdfast-db/holdfast/"

// A rule keeps an import to some packages. Both sides name a path and all
// that is below it, without the module's own prefix.
type rule struct {
	name    string
	imports []string // what is restricted
	only    []string // who may
	within  string   // the rule is about this package alone; empty: all
	tests   bool     // the rule binds test files too
}

var rules = []rule{
	{
		name:    "Temporal is the control plane's alone",
		imports: []string{"go.temporal.io"},
		only:    []string{"workflows", "activities", "worker", "starter", "test"},
		tests:   true,
	},
	{
		name:    "one package speaks to Azure",
		imports: []string{"github.com/Azure"},
		only:    []string{"internal/blob/azure", "test"},
	},
	{
		name:    "SQLite is opened where a database is read or a finished file checked",
		imports: []string{"github.com/mattn/go-sqlite3", "modernc.org/sqlite"},
		only:    []string{"internal/source", "internal/restore", "internal/verify", "internal/sqlitetest", "test"},
	},
	{
		name:    "plans are pure",
		within:  "internal/plan",
		imports: []string{"context", "os", "net", "io/fs", "database/sql", "internal/blob"},
	},
	{
		name:    "the log's reader only parses",
		within:  "internal/wal",
		imports: []string{"net", "database/sql", "internal"},
	},
	{
		name:    "workflows do no input or output",
		within:  "workflows",
		imports: []string{"os", "net", "database/sql", "math/rand", "internal/blob", "internal/source", "internal/ship", "internal/restore", "internal/replica", "internal/config"},
		only:    []string{"workflows/control"},
	},
	{
		name:    "main packages read flags",
		imports: []string{"flag", "github.com/spf13"},
		only:    []string{"worker", "starter", "internal/config", "test"},
	},
}

// levels lists packages from the bottom up. A package imports only from lower
// levels; a path stands for all below it that has no entry of its own.
var levels = [][]string{
	{"internal/wal", "internal/plan", "internal/blob", "internal/digest", "internal/telemetry", "internal/inuse", "internal/watch", "internal/memory"},
	{"internal/blob/azure", "internal/blob/file", "internal/blob/mem", "internal/blob/faulty"},
	{"internal/blob/driver"},
	{"internal/source", "internal/replica"},
	{"internal/ship", "internal/restore", "internal/maintain"},
	{"internal/host", "internal/config", "internal/verify"},
	{"activities", "internal/discover"},
	{"workflows"},
	{"workflows/control"},
	{"worker", "starter"},
}

// helpers exist for tests; they may be anywhere and nothing else imports them.
var helpers = []string{"internal/blob/blobtest", "internal/ship/faultfs", "internal/sqlitetest", "test"}

// pkg is what go list says of a package.
type pkg struct {
	ImportPath, Dir                    string
	GoFiles, CgoFiles                  []string
	Imports, TestImports, XTestImports []string
}

func (p pkg) path() string { return strings.TrimPrefix(p.ImportPath, module) }

func TestImportsKeepToTheRules(t *testing.T) {
	for _, p := range mustList(t) {
		for _, r := range rules {
			imports := p.Imports
			if r.tests {
				imports = slices.Concat(imports, p.TestImports, p.XTestImports)
			}
			for _, imported := range imports {
				if r.forbids(p.path(), strings.TrimPrefix(imported, module)) {
					t.Errorf("%s imports %s: %s", p.path(), imported, r.name)
				}
			}
		}
	}
}

func TestImportsGoDownOnly(t *testing.T) {
	for _, p := range mustList(t) {
		if below(p.path(), helpers) {
			continue
		}
		for _, imported := range p.Imports {
			if err := judge(p.path(), imported); err != nil {
				t.Error(err)
			}
		}
	}
}

// A key that is read in the middle of the program works for some ways of
// starting it and not for others.
func TestOnlyMainPackagesReadTheEnvironment(t *testing.T) {
	for _, p := range mustList(t) {
		if below(p.path(), slices.Concat([]string{"worker", "starter"}, helpers)) {
			continue
		}
		for _, file := range slices.Concat(p.GoFiles, p.CgoFiles) {
			for _, found := range environmentReads(t, filepath.Join(p.Dir, file)) {
				t.Errorf("%s: main packages read the environment and hand it down", found)
			}
		}
	}
}

func TestJudgesAsItSays(t *testing.T) {
	for _, row := range []struct{ importer, imported, wantErr string }{
		{importer: "internal/ship", imported: module + "internal/source"},
		{importer: "internal/blob/azure", imported: module + "internal/blob"},
		{importer: "internal/wal", imported: "os"},
		{importer: "internal/source", imported: module + "internal/ship", wantErr: "down only"},
		{importer: "internal/source", imported: module + "internal/replica", wantErr: "down only"},
		{importer: "workflows", imported: module + "internal/blob/blobtest", wantErr: "for tests"},
		{importer: "internal/utils", imported: module + "internal/wal", wantErr: "no level"},
	} {
		err := judge(row.importer, row.imported)
		if row.wantErr == "" && err != nil {
			t.Errorf("%s may import %s: got %v", row.importer, row.imported, err)
		}
		if row.wantErr != "" && (err == nil || !strings.Contains(err.Error(), row.wantErr)) {
			t.Errorf("%s imports %s: got %v, want %q", row.importer, row.imported, err, row.wantErr)
		}
	}
	for _, row := range []struct {
		importer, imported string
		want               bool
	}{
		{"internal/ship", "go.temporal.io/sdk/client", true},
		{"activities", "go.temporal.io/sdk/client", false},
		{"internal/plan", "context", true},
		{"internal/plan", "os/exec", true},
		{"internal/plan", "osmosis", false},
		{"internal/replica", "context", false},
		{"workflows", "net/http", true},
		{"workflows/control", "net/http", false},
	} {
		got := slices.ContainsFunc(rules, func(r rule) bool { return r.forbids(row.importer, row.imported) })
		if got != row.want {
			t.Errorf("%s imports %s: forbidden is %t, want %t", row.importer, row.imported, got, row.want)
		}
	}
}

func (r rule) forbids(importer, imported string) bool {
	about := r.within == "" || below(importer, []string{r.within})
	return about && below(imported, r.imports) && !below(importer, r.only)
}

// judge says what is wrong with an import between two packages of ours.
func judge(importer, imported string) error {
	imported, ours := strings.CutPrefix(imported, module)
	if !ours {
		return nil
	}
	if below(imported, helpers) {
		return fmt.Errorf("%s imports %s, which is for tests", importer, imported)
	}
	from, to := level(importer), level(imported)
	if from < 0 || to < 0 {
		return fmt.Errorf("%s imports %s: one of them has no level; give it one in test/layout", importer, imported)
	}
	if to >= from {
		return fmt.Errorf("%s imports %s: imports go down only", importer, imported)
	}
	return nil
}

// level is the index of the longest entry that holds path, or -1.
func level(path string) int {
	found, longest := -1, 0
	for i, entries := range levels {
		for _, e := range entries {
			if below(path, []string{e}) && len(e) > longest {
				found, longest = i, len(e)
			}
		}
	}
	return found
}

// below tells whether path is one of roots or inside one.
func below(path string, roots []string) bool {
	return slices.ContainsFunc(roots, func(root string) bool {
		return path == root || strings.HasPrefix(path, root+"/")
	})
}

func environmentReads(t *testing.T, file string) []string {
	t.Helper()
	files := token.NewFileSet()
	tree, err := parser.ParseFile(files, file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	ast.Inspect(tree, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		from, ok := s.X.(*ast.Ident)
		if ok && from.Name == "os" && slices.Contains([]string{"Getenv", "LookupEnv", "Environ", "ExpandEnv", "Args"}, s.Sel.Name) {
			found = append(found, fmt.Sprintf("%s reads os.%s", files.Position(s.Pos()), s.Sel.Name))
		}
		return true
	})
	return found
}

func mustList(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,CgoFiles,Imports,TestImports,XTestImports", module+"...")
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 2 {
		t.Fatalf("go list found %d packages", len(all))
	}
	return all
}
