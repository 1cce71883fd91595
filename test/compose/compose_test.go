// Package compose_test keeps docker-compose.yml and the Dockerfile true: to
// each other, to what the programs read, and to the development stack.
package compose_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/holdfast-db/holdfast/internal/blob"
	"github.com/holdfast-db/holdfast/internal/config"
	"github.com/holdfast-db/holdfast/test/stack"
)

const root = "../.."

func mustLoad(t *testing.T, env ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")}, cli.WithEnv(env))
	must(t, err)
	project, err := options.LoadProject(t.Context())
	must(t, err)
	return project
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustRead(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	must(t, err)
	return string(b)
}

func TestHasTheServicesAndStartsThemInOrder(t *testing.T) {
	services := mustLoad(t).Services
	if got := services.GetProfiles(); len(got) > 0 {
		t.Errorf("profiles %v hide services from a plain `docker compose up`", got)
	}
	for name, want := range map[string]map[string]string{
		"temporal":  {},
		"azurite":   {},
		"container": {"azurite": types.ServiceConditionHealthy},
		"worker":    {"temporal": types.ServiceConditionHealthy, "container": types.ServiceConditionCompletedSuccessfully},
	} {
		service, ok := services[name]
		if !ok {
			t.Errorf("no service %s", name)
			continue
		}
		for on, condition := range want {
			if got := service.DependsOn[on].Condition; got != condition {
				t.Errorf("%s waits for %s: %q, want %q", name, on, got, condition)
			}
			if condition == types.ServiceConditionHealthy && services[on].HealthCheck == nil {
				t.Errorf("%s has no health check, and %s waits for it", on, name)
			}
		}
	}
}

// The ports that holdfast-dev uses when they are free, so that a person finds
// everything at the same address either way. Never beyond this machine.
func TestPublishesThePortsOfTheDevelopmentStack(t *testing.T) {
	dev := mustRead(t, "dev/main.go")
	services := mustLoad(t).Services
	for _, row := range []struct{ service, flag, port string }{
		{"temporal", "temporal-port", "7233"},
		{"temporal", "ui-port", "8233"},
		{"azurite", "blob-port", "10000"},
	} {
		if want := fmt.Sprintf("%q, %s)", row.flag, row.port); !strings.Contains(dev, want) {
			t.Errorf("dev/main.go has no flag %s", want)
		}
		published := slices.ContainsFunc(services[row.service].Ports, func(p types.ServicePortConfig) bool {
			return p.Published == row.port && fmt.Sprint(p.Target) == row.port
		})
		if !published {
			t.Errorf("%s does not publish %s", row.service, row.port)
		}
	}
	for name, service := range services {
		for _, p := range service.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %s on %q, want the loopback interface", name, p.Published, p.HostIP)
			}
		}
	}
}

func TestStartsTheServersAsTheDevelopmentStackDoes(t *testing.T) {
	services := mustLoad(t).Services
	dev := mustRead(t, "dev/temporal/temporal.go")
	for _, name := range []string{"HoldfastPhase", "HoldfastHost", "HoldfastDatabase"} {
		if flag := "--search-attribute=" + name + "=Keyword"; !slices.Contains(services["temporal"].Command, flag) {
			t.Errorf("temporal is started without %s", flag)
		}
		if !strings.Contains(dev, fmt.Sprintf("%q:", name)) {
			t.Errorf("the development stack does not create %s", name)
		}
	}
	version := regexp.MustCompile(`"azurite": "([0-9.]+)"`).FindStringSubmatch(mustRead(t, "dev/azurite/package.json"))
	if version == nil || !strings.HasSuffix(services["azurite"].Image, ":"+version[1]) {
		t.Errorf("image %s, and the development stack has %v", services["azurite"].Image, version)
	}
}

// What the programs read beside their own settings: the Temporal SDK's
// envconfig and internal/config name these.
var foreign = []string{"TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "AZURE_STORAGE_CONNECTION_STRING"}

func TestNamesOnlyVariablesThatTheWorkerReads(t *testing.T) {
	known := slices.Clone(foreign)
	for _, key := range config.Keys() {
		known = append(known, config.EnvName(key))
	}
	environment := mustLoad(t).Services["worker"].Environment
	for name := range environment {
		if !slices.Contains(known, name) {
			t.Errorf("the worker does not read %s", name)
		}
	}
	for _, name := range append(foreign, "HOLDFAST_HOST", "HOLDFAST_REPLICA") {
		if environment[name] == nil {
			t.Errorf("the worker is not given %s", name)
		}
	}
}

func TestTheWorkerTakesItsSettings(t *testing.T) {
	environment := mustLoad(t).Services["worker"].Environment
	var environ []string
	for name, value := range environment {
		environ = append(environ, name+"="+*value)
	}
	c, err := config.Load(config.Source{Environ: environ})
	must(t, err)
	credentials, err := c.Azure.Credentials(func(name string) (string, bool) {
		value, ok := environment[name]
		if !ok {
			return "", false
		}
		return *value, true
	})
	must(t, err)
	for _, want := range []string{"AccountName=" + stackAccount, "BlobEndpoint=http://azurite:10000/" + stackAccount} {
		if !strings.Contains(credentials.ConnectionString, want) {
			t.Errorf("the connection string has no %s", want)
		}
	}
	u, err := blob.ParseURL(c.Replica)
	must(t, err)
	if u.Account != stackAccount || u.Container != "holdfast" {
		t.Errorf("replica %s: want the emulator's account and the container that `container` creates", c.Replica)
	}
}

const stackAccount = "devstoreaccount1"

// The request is sent to a real Azurite: a signature cannot be judged by eye.
func TestCreatesTheContainer(t *testing.T) {
	service := mustLoad(t).Services["container"]
	request, err := url.Parse(*service.Environment["URL"])
	must(t, err)
	if script := service.Command[0]; !strings.Contains(script, `"$URL"`) || !strings.Contains(script, "--request PUT") {
		t.Fatalf("the script does not put the URL:\n%s", script)
	}
	s := stack.Start(t)
	azurite, err := url.Parse(s.Blob)
	must(t, err)
	name := s.NewContainer(t)
	request.Host = azurite.Host
	request.Path = strings.TrimSuffix(request.Path, "holdfast") + name
	if got := put(t, request); got != http.StatusConflict {
		t.Errorf("PUT of a container that exists: status %d, want 409", got)
	}
	query := request.Query()
	query.Set("sig", "AAAA")
	request.RawQuery = query.Encode()
	if got := put(t, request); got != http.StatusForbidden {
		t.Errorf("PUT with another signature: status %d, want 403", got)
	}
}

func put(t *testing.T, u *url.URL) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, u.String(), http.NoBody)
	must(t, err)
	response, err := http.DefaultClient.Do(request)
	must(t, err)
	must(t, response.Body.Close())
	return response.StatusCode
}

func TestTakesADirectoryForTheDatabases(t *testing.T) {
	for env, want := range map[string]string{"DATA=": types.VolumeTypeVolume, "DATA=/srv/databases": types.VolumeTypeBind} {
		volumes := mustLoad(t, env).Services["worker"].Volumes
		i := slices.IndexFunc(volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == "/data" })
		if i < 0 || volumes[i].Type != want {
			t.Errorf("%s: volumes %+v, want /data as %s", env, volumes, want)
		}
	}
}

func TestBuildsAStageThatExists(t *testing.T) {
	dockerfile := mustRead(t, "Dockerfile")
	build := mustLoad(t).Services["worker"].Build
	if build == nil || !regexp.MustCompile(`(?m)^FROM \S+ AS `+build.Target+`$`).MatchString(dockerfile) {
		t.Errorf("the Dockerfile has no stage for %+v", build)
	}
	for _, copied := range regexp.MustCompile(`--from=(\S+)`).FindAllStringSubmatch(dockerfile, -1) {
		if !strings.Contains(dockerfile, " AS "+copied[1]+"\n") {
			t.Errorf("the Dockerfile copies from %s, which is no stage", copied[1])
		}
	}
}

func TestTheImageIsBuiltAsMakeBuilds(t *testing.T) {
	dockerfile, makefile := mustRead(t, "Dockerfile"), mustRead(t, "Makefile")
	flags := regexp.MustCompile(`(?m)^export CGO_CFLAGS := (.+)$`).FindStringSubmatch(makefile)
	if flags == nil || !strings.Contains(dockerfile, `CGO_CFLAGS="`+flags[1]+`"`) {
		t.Errorf("the Dockerfile has other CGO_CFLAGS than %q", flags)
	}
	packages := regexp.MustCompile(`go build .*-o \S+ \./(\S+)`).FindAllStringSubmatch(dockerfile, -1)
	if len(packages) != 2 {
		t.Fatalf("the Dockerfile builds %d programs, want 2", len(packages))
	}
	for _, p := range packages {
		if _, err := os.Stat(filepath.Join(root, p[1], "main.go")); err != nil {
			t.Errorf("the Dockerfile builds ./%s: %v", p[1], err)
		}
		if regexp.MustCompile(`(?m)^` + p[1] + `$`).MatchString(mustRead(t, ".dockerignore")) {
			t.Errorf(".dockerignore keeps %s from the Dockerfile, which builds it", p[1])
		}
	}
	if !regexp.MustCompile(`(?m)^USER [1-9]`).MatchString(dockerfile) {
		t.Error("the image runs as root")
	}
}
