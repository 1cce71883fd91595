package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// checkDocument walks a file's YAML and refuses what nobody would read: viper
// drops it silently.
func checkDocument(data []byte) error {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return fmt.Errorf("%w; correct the YAML there", oneLine(err))
	}
	if len(doc.Content) == 0 {
		return nil
	}
	return checkMapping(doc.Content[0], "", sectionsOf(keys))
}

// list is a key whose value is a list of mappings.
type list struct {
	keys    []string // that an entry may hold
	example string   // of an entry
}

var lists = map[string]list{
	databasesKey:   {[]string{"path", "name", "replica"}, "{path: /path/to/file.db}"},
	directoriesKey: {[]string{"dir", "pattern", "recursive", "name", "replica"}, `{dir: /path/to/directory, pattern: "*.db"}`},
}

// flags are the keys of entries that are true or false.
var flags = []string{"recursive"}

// sectionsOf returns the names that hold other names.
func sectionsOf(keys []key) map[string]bool {
	sections := map[string]bool{}
	for _, k := range keys {
		if section, _, ok := strings.Cut(k.name, "."); ok {
			sections[section] = true
		}
	}
	return sections
}

func checkMapping(node *yaml.Node, prefix string, sections map[string]bool) error {
	if isNull(node) {
		return nil
	}
	if node.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: %s is no mapping; write names and values, such as %s", node.Line, orWhole(prefix), example(prefix))
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		full := prefix + name.Value
		if seen[name.Value] {
			return fmt.Errorf("line %d: %s is there twice; keep one", name.Line, full)
		}
		seen[name.Value] = true
		if err := checkEntry(name, value, full, sections); err != nil {
			return err
		}
	}
	return nil
}

func checkEntry(name, value *yaml.Node, full string, sections map[string]bool) error {
	if value.Kind == yaml.AliasNode {
		value = value.Alias
	}
	_, scalar := find(full)
	l, isList := lists[full]
	switch {
	case sections[full]:
		return checkMapping(value, full+".", nil)
	case isList:
		return l.check(value, full)
	case strings.Contains(name.Value, "."):
		section, rest, _ := strings.Cut(name.Value, ".")
		return fmt.Errorf("line %d: %s: settings are nested; write %s: {%s: …}", name.Line, full, section, rest)
	case !scalar:
		return unknown(name.Line, full, slices.AppendSeq(Keys(), maps.Keys(sections)))
	case value.Kind != yaml.ScalarNode:
		return fmt.Errorf("line %d: %s has more than one value; write one", value.Line, full)
	}
	return nil
}

func (l list) check(node *yaml.Node, name string) error {
	if isNull(node) {
		return nil
	}
	if node.Kind != yaml.SequenceNode {
		return fmt.Errorf("line %d: %s is no list; write - %s", node.Line, name, l.example)
	}
	for i, entry := range node.Content {
		if err := l.checkEntry(entry, fmt.Sprintf("%s[%d]", name, i)); err != nil {
			return err
		}
	}
	return nil
}

func (l list) checkEntry(node *yaml.Node, prefix string) error {
	if node.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: %s is no mapping; write %s", node.Line, prefix, l.example)
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		switch {
		case !slices.Contains(l.keys, name.Value):
			return unknown(name.Line, prefix+"."+name.Value, prefixed(prefix+".", l.keys))
		case value.Kind != yaml.ScalarNode:
			return fmt.Errorf("line %d: %s.%s has more than one value; write one", value.Line, prefix, name.Value)
		case slices.Contains(flags, name.Value) && value.Tag != "!!bool":
			return fmt.Errorf("line %d: %s.%s: got %q; write true or false", value.Line, prefix, name.Value, value.Value)
		}
	}
	return nil
}

func unknown(line int, name string, candidates []string) error {
	if guess := nearest(name, candidates); guess != "" {
		return fmt.Errorf("line %d: unknown key %s; did you mean %s?", line, name, guess)
	}
	return fmt.Errorf("line %d: unknown key %s; remove it, or write one of %s", line, name, strings.Join(siblings(name, candidates), ", "))
}

// siblings are the candidates that stand where name does.
func siblings(name string, candidates []string) []string {
	at := name[:strings.LastIndexByte(name, '.')+1]
	var all []string
	for _, c := range candidates {
		if rest, ok := strings.CutPrefix(c, at); ok && !strings.Contains(rest, ".") {
			all = append(all, rest)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// example is a mapping as the section of that prefix may have it.
func example(prefix string) string {
	for _, k := range keys {
		if rest, ok := strings.CutPrefix(k.name, prefix); ok && prefix != "" {
			return fmt.Sprintf("%s: {%s: …}", orWhole(prefix), rest)
		}
	}
	return "host: web-1"
}

// isNull tells a section that was left empty, or whose entries are all comments.
func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.Tag == "!!null" }

func orWhole(prefix string) string {
	if prefix == "" {
		return "the file"
	}
	return strings.TrimSuffix(prefix, ".")
}

func prefixed(prefix string, names []string) []string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = prefix + name
	}
	return all
}

// oneLine folds the several lines of a parser's message into one.
func oneLine(err error) error {
	return errors.New(strings.Join(strings.Fields(strings.TrimPrefix(err.Error(), "yaml: ")), " "))
}
