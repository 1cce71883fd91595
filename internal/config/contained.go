package config

import (
	"bytes"
	"os"
	"path/filepath"
)

// containerFiles are put into containers by what runs them.
var containerFiles = []string{".dockerenv", "run/.containerenv"}

// containerVariables are set in containers: by podman, LXC and systemd the
// first, by Kubernetes the second.
var containerVariables = []string{"container", "KUBERNETES_SERVICE_HOST"}

// containerGroups name, in the first process's control groups, what made one.
var containerGroups = []string{"docker", "kubepods", "containerd", "libpod", "/lxc"}

// Contained tells whether the system below root, usually "/", is a container:
// then its host name is one that nobody chose and that does not last. lookup
// finds variables as os.LookupEnv does.
func Contained(root string, lookup func(string) (string, bool)) bool {
	for _, name := range containerFiles {
		if _, err := os.Stat(filepath.Join(root, name)); err == nil {
			return true
		}
	}
	for _, name := range containerVariables {
		if value, _ := lookup(name); value != "" {
			return true
		}
	}
	groups, err := os.ReadFile(filepath.Join(root, "proc/1/cgroup"))
	if err != nil {
		return false
	}
	for _, name := range containerGroups {
		if bytes.Contains(groups, []byte(name)) {
			return true
		}
	}
	return false
}
