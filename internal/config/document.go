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
		return oneLine(err)
	}
	if len(doc.Content) == 0 {
		return nil
	}
	return checkMapping(doc.Content[0], "", sectionsOf(keys))
}

// databaseKeys are what an entry of databases may hold.
var databaseKeys = []string{"path", "name", "replica"}

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
		return fmt.Errorf("line %d: %s: want names and values", node.Line, orWhole(prefix))
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
	switch _, scalar := find(full); {
	case sections[full]:
		return checkMapping(value, full+".", nil)
	case full == databasesKey:
		return checkDatabases(value)
	case strings.Contains(name.Value, "."):
		section, rest, _ := strings.Cut(name.Value, ".")
		return fmt.Errorf("line %d: %s: settings are nested; write %s: {%s: …}", name.Line, full, section, rest)
	case !scalar:
		return unknown(name.Line, full, slices.AppendSeq(Keys(), maps.Keys(sections)))
	case value.Kind != yaml.ScalarNode:
		return fmt.Errorf("line %d: %s: want one value", value.Line, full)
	}
	return nil
}

func checkDatabases(node *yaml.Node) error {
	if isNull(node) {
		return nil
	}
	if node.Kind != yaml.SequenceNode {
		return fmt.Errorf("line %d: databases: want a list; write - {path: /path/to/file.db}", node.Line)
	}
	for i, entry := range node.Content {
		if err := checkDatabase(entry, fmt.Sprintf("databases[%d]", i)); err != nil {
			return err
		}
	}
	return nil
}

func checkDatabase(node *yaml.Node, prefix string) error {
	if node.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: %s: want {path: …}", node.Line, prefix)
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		if !slices.Contains(databaseKeys, name.Value) {
			return unknown(name.Line, prefix+"."+name.Value, prefixed(prefix+".", databaseKeys))
		}
		if value.Kind != yaml.ScalarNode {
			return fmt.Errorf("line %d: %s.%s: want one value", value.Line, prefix, name.Value)
		}
	}
	return nil
}

func unknown(line int, name string, candidates []string) error {
	if guess := nearest(name, candidates); guess != "" {
		return fmt.Errorf("line %d: unknown key %s; did you mean %s?", line, name, guess)
	}
	return fmt.Errorf("line %d: unknown key %s; remove it, or see the manual for what there is", line, name)
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
