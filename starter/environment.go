package main

import (
	"fmt"
	"strings"

	"github.com/holdfast-db/holdfast/internal/config"
)

// lookup is os.LookupEnv over a list.
func lookup(environ []string) func(string) (string, bool) {
	return func(name string) (value string, ok bool) {
		for _, entry := range environ {
			if v, is := strings.CutPrefix(entry, name+"="); is {
				value, ok = v, true
			}
		}
		return value, ok
	}
}

// settings loads the configuration, from the file that --config names.
func (a *app) settings(file string) (config.Config, error) {
	c, err := config.Load(config.Source{File: file, Search: a.search, Environ: a.environ})
	if err != nil {
		return c, misconfigured(err)
	}
	return c, nil
}

// thisHost is the name of the machine that the command runs on.
func (a *app) thisHost(c config.Config) (string, error) {
	if c.Host != "" {
		return c.Host, nil
	}
	if a.contained() {
		return "", misconfigured(fmt.Errorf("a container's host name does not last; set --host or HOLDFAST_HOST"))
	}
	name, err := a.hostname()
	if err != nil {
		return "", misconfigured(fmt.Errorf("%w; set --host or HOLDFAST_HOST", err))
	}
	host, err := config.DefaultHost(name)
	if err != nil {
		return "", misconfigured(err)
	}
	return host, nil
}
