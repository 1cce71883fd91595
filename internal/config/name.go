package config

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// MaxName is the length of the longest database name.
const MaxName = 200

var (
	segment  = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)
	unfit    = regexp.MustCompile(`[^a-z0-9._-]+`)
	unfitEnd = regexp.MustCompile(`^[^a-z0-9]+`)
)

// CheckName says whether name can name a database: segments of lower-case
// letters, digits, '.', '_' and '-', joined by '/'.
func CheckName(name string) error {
	if len(name) > MaxName {
		return fmt.Errorf("database name %.20q… has %d characters; choose one with %d at most", name, len(name), MaxName)
	}
	for part := range strings.SplitSeq(name, "/") {
		if !segment.MatchString(part) {
			return fmt.Errorf("database name %q: %s", name, wrongSegment(part))
		}
	}
	return nil
}

// CheckHost says whether name can name a host: one segment of a database name.
func CheckHost(name string) error {
	if !segment.MatchString(name) {
		return fmt.Errorf("host name %q: %s", name, wrongSegment(name))
	}
	return nil
}

func wrongSegment(part string) string {
	switch {
	case part == "":
		return "a part is empty; use letters, digits, '.', '_' and '-'"
	case len(part) > 63:
		return fmt.Sprintf("the part %.20q… has %d characters; choose one with 63 at most", part, len(part))
	}
	return fmt.Sprintf("the part %q does not fit; begin it with a-z or 0-9 and use only a-z, 0-9, '.', '_' and '-'", part)
}

// DefaultName returns the name of a database that was given none: its file name
// without the extension, made to fit.
func DefaultName(path string) (string, error) {
	base := filepath.Base(path)
	stem := strings.TrimSuffix(base, filepath.Ext(base))
	name := fit(stem)
	if name == "" {
		return "", fmt.Errorf("no database name can be made of %q; give it one", base)
	}
	return name, nil
}

// DefaultHost returns the name of a host that was given none, made of what the
// system calls it.
func DefaultHost(hostname string) (string, error) {
	name := fit(hostname)
	if name == "" {
		return "", fmt.Errorf("no host name can be made of %q; set host", hostname)
	}
	return name, nil
}

func fit(s string) string {
	s = unfit.ReplaceAllString(strings.ToLower(s), "-")
	s = unfitEnd.ReplaceAllString(s, "")
	return s[:min(len(s), 63)]
}
