package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-db/holdfast/internal/config"
)

func TestContained(t *testing.T) {
	for _, row := range []struct {
		name  string
		files map[string]string
		env   map[string]string
		want  bool
	}{
		{name: "a machine of its own", files: map[string]string{"proc/1/cgroup": "0::/init.scope\n"}},
		{name: "a system without control groups"},
		{name: "docker", files: map[string]string{".dockerenv": ""}, want: true},
		{name: "podman", files: map[string]string{"run/.containerenv": ""}, want: true},
		{name: "an old docker", files: map[string]string{"proc/1/cgroup": "1:cpu:/docker/0123\n"}, want: true},
		{name: "kubernetes", env: map[string]string{"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, want: true},
		{name: "lxc", env: map[string]string{"container": "lxc"}, want: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			root := t.TempDir()
			for name, text := range row.files {
				full := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got := config.Contained(root, lookup(row.env)); got != row.want {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
}
