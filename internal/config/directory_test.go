package config_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast/internal/config"
)

func TestNamesOfDiscoveredDatabases(t *testing.T) {
	c := mustLoad(t, config.Source{File: mustWrite(t, "host: web-1\nreplica: abs://account@backups/prod\ndirectories:\n"+
		"  - {dir: /srv/tenants}\n  - {dir: /, name: 'tenants/{path}', replica: 'file:///mnt/{host}/{path}'}")})
	for _, row := range []struct {
		name, rel     string
		entry         int
		want, replica string
		path          string
	}{
		{name: "a file", rel: "shop.db", want: "web-1/shop", replica: "abs://account@backups/prod/web-1/shop", path: "/srv/tenants/shop.db"},
		{name: "a file in directories", rel: "eu/a.1/data.sqlite3", want: "web-1/eu/a.1/data", replica: "abs://account@backups/prod/web-1/eu/a.1/data", path: "/srv/tenants/eu/a.1/data.sqlite3"},
		{name: "no extension", rel: "a.b/shop", want: "web-1/a.b/shop", replica: "abs://account@backups/prod/web-1/a.b/shop", path: "/srv/tenants/a.b/shop"},
		{name: "what does not fit", rel: "ACME GmbH/_Kunden (1).db", want: "web-1/acme-gmbh/kunden-1-", replica: "abs://account@backups/prod/web-1/acme-gmbh/kunden-1-", path: "/srv/tenants/ACME GmbH/_Kunden (1).db"},
		{name: "templates", rel: "a/shop.db", entry: 1, want: "tenants/a/shop", replica: "file:///mnt/web-1/a/shop", path: "/a/shop.db"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := c.Discovered(c.Directories[row.entry], row.rel)
			if want := (config.Database{Path: row.path, Name: row.want, Replica: row.replica}); err != nil || got != want {
				t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
			}
		})
	}
	for _, rel := range []string{"日本/shop.db", "shop/.db", strings.Repeat("abcdefghi/", 20) + "shop.db"} {
		_, err := c.Discovered(c.Directories[0], rel)
		if err == nil || !strings.Contains(err.Error(), "/srv/tenants/"+rel) || !strings.Contains(err.Error(), "; list it under databases with a name of its own") {
			t.Errorf("%s: got %v, want an error that names the file and says what to do", rel, err)
		}
	}
}

func TestDiscoveredNamesAreNames(t *testing.T) {
	c := mustLoad(t, config.Source{File: mustWrite(t, "host: web-1\nreplica: file:///r\ndirectories: [{dir: /srv}, {dir: /srv, name: 'x-{path}'}]")})
	rapid.Check(t, func(t *rapid.T) {
		rel := rapid.String().Draw(t, "path")
		for _, d := range c.Directories {
			if db, err := c.Discovered(d, rel); err == nil && config.CheckName(db.Name) != nil {
				t.Fatalf("%q became %q: %v", rel, db.Name, config.CheckName(db.Name))
			}
		}
	})
}
