package config

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast/internal/blob"
)

// Directory is one directory in which databases are looked for.
type Directory struct {
	Dir       string // absolute, clean
	Pattern   string // of file names, as path.Match has it
	Recursive bool
	Name      string // template of the databases' names
	Replica   string // template of their replicas' URLs; empty for the one below the root
}

// Discovery says how directories are looked through.
type Discovery struct {
	Rescan time.Duration // between two looks at everything
	Grace  time.Duration // for which a file may be gone before its database is released
}

// What stands for something in a template.
const (
	hostPart = "{host}"
	pathPart = "{path}" // below the directory, without the extension, made to fit
)

// What holds for a directory that does not say it: everything that begins as a
// database does.
const (
	anyFile  = "*"
	hostPath = hostPart + "/" + pathPart
)

func (c *Config) fillDirectories() error {
	for i := range c.Directories {
		if err := c.fillDirectory(&c.Directories[i]); err != nil {
			return fmt.Errorf("directories[%d]: %w", i, err)
		}
	}
	return nil
}

func (c *Config) fillDirectory(d *Directory) error {
	switch {
	case d.Dir == "":
		return fmt.Errorf("dir is missing; write %s", lists[directoriesKey].example)
	case !filepath.IsAbs(d.Dir):
		return fmt.Errorf("dir %q is relative; write the absolute path", d.Dir)
	case strings.Contains(d.Pattern, "/"):
		return fmt.Errorf("pattern %q has a '/'; write one of file names alone, such as *.db", d.Pattern)
	case d.Replica == "" && c.Replica == "":
		return fmt.Errorf("%s has no replica; set replica for all or its own", d.Dir)
	}
	d.Dir = filepath.Clean(d.Dir)
	if d.Pattern == "" {
		d.Pattern = anyFile
	}
	if _, err := path.Match(d.Pattern, ""); err != nil {
		return fmt.Errorf("pattern %q cannot be read; write one such as *.db", d.Pattern)
	}
	if d.Name == "" {
		d.Name = hostPath
	}
	return d.checkTemplates()
}

func (d *Directory) checkTemplates() error {
	if err := checkTemplate("name", d.Name); err != nil {
		return err
	}
	if err := CheckName(expand(d.Name, "h", "p")); err != nil {
		return err
	}
	if d.Replica == "" {
		return nil
	}
	if err := checkTemplate("replica", d.Replica); err != nil {
		return err
	}
	_, err := blob.ParseURL(expand(d.Replica, "h", "p"))
	return err
}

func checkTemplate(key, template string) error {
	switch rest := expand(template, "", ""); {
	case !strings.Contains(template, pathPart):
		return fmt.Errorf("%s %q is the same for all; write %s into it", key, template, pathPart)
	case strings.ContainsAny(rest, "{}"):
		return fmt.Errorf("%s %q has other braces; only %s and %s stand for something", key, template, hostPart, pathPart)
	}
	return nil
}

func expand(template, host, path string) string {
	return strings.NewReplacer(hostPart, host, pathPart, path).Replace(template)
}

// Discovered returns what the file at rel, below d's directory, is as a database.
// Two files may come to the same name. Host must be set.
func (c *Config) Discovered(d Directory, rel string) (Database, error) {
	db := Database{Path: filepath.Join(d.Dir, rel)}
	stem, err := fitPath(rel)
	if err != nil {
		return db, unnamed(db.Path, err)
	}
	db.Name = expand(d.Name, c.Host, stem)
	if err := CheckName(db.Name); err != nil {
		return db, unnamed(db.Path, err)
	}
	db.Replica, err = c.ReplicaOf(db.Name, expand(d.Replica, c.Host, stem))
	return db, err
}

func unnamed(path string, err error) error {
	return fmt.Errorf("no name for %s: %w; list it under databases with a name of its own", path, err)
}

// fitPath makes every part of rel fit a name, the last one without its extension.
func fitPath(rel string) (string, error) {
	parts := strings.Split(strings.TrimSuffix(rel, filepath.Ext(rel)), "/")
	for i, part := range parts {
		if parts[i] = fit(part); parts[i] == "" {
			return "", fmt.Errorf("nothing of %q can be part of one", part)
		}
	}
	return strings.Join(parts, "/"), nil
}
