// Package deploy holds nothing but tests of the files beside it.
package deploy

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/exitgate/exitgate/gateway/metrics"
)

func TestAlertsFireWhenTheyShould(t *testing.T) {
	promtool := installed(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = "prometheus"
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, said)
		}
	}
}

// promtool can't know that a metric doesn't exist.
func TestAlertsAskOnlyForMetricsThatTheGatewayHas(t *testing.T) {
	have := describe()
	recorded := regexp.MustCompile(`\w+:exitgate_\w+:\w+`)
	asked := regexp.MustCompile(`\bexitgate_\w+`)
	alerts := recorded.ReplaceAllString(read(t, "prometheus/alerts.yml"), "")
	for _, name := range asked.FindAllString(alerts, -1) {
		if !have[name] {
			t.Errorf("the gateway has no metric %s", name)
		}
	}
}

// describe returns the names of the gateway's metrics.
func describe() map[string]bool {
	names := make(names)
	metrics.New(names)
	metrics.RegisterState(names, func() metrics.State { panic("nothing is collected") })
	return names
}

// names is a prometheus.Registerer that keeps the metrics' names.
type names map[string]bool

func (n names) Register(c prometheus.Collector) error {
	name := regexp.MustCompile(`fqName: "(.*?)"`)
	descriptions := make(chan *prometheus.Desc)
	go func() {
		c.Describe(descriptions)
		close(descriptions)
	}()
	for d := range descriptions {
		n[name.FindStringSubmatch(d.String())[1]] = true
	}
	return nil
}

func (n names) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		n.Register(c)
	}
}

func (n names) Unregister(prometheus.Collector) bool { return false }

func TestImageIsBuiltWithTheGoThatTheModuleNeeds(t *testing.T) {
	want := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "../go.mod"))
	got := regexp.MustCompile(`(?m)^FROM golang:(\d+\.\d+)`).FindStringSubmatch(read(t, "container/Dockerfile"))
	if want == nil || got == nil || want[1] != got[1] {
		t.Errorf("go.mod says %v, the Dockerfile %v", want, got)
	}
}

func TestUnitIsAsSystemdWantsIt(t *testing.T) {
	analyze := installed(t, "systemd-analyze")
	// A unit is verified with its program: have one.
	unit := strings.ReplaceAll(read(t, "systemd/exitgate.service"), "=exitgate ", "=/bin/true ")
	path := t.TempDir() + "/exitgate.service"
	if err := os.WriteFile(path, []byte(unit), 0o644); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command(analyze, "verify", "--man=no", path).CombinedOutput(); err != nil || len(said) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, said)
	}
	// Exposure is 0 to 10, and tenfold here: below 2 a unit is "OK", and what
	// remains is for a server that clients and apps reach.
	if said, err := exec.Command(analyze, "security", "--offline=yes", "--threshold=18", path).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, said)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// installed returns the path of a program that the test needs.
func installed(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case errors.Is(err, exec.ErrNotFound) && os.Getenv("CI") == "":
		t.Skipf("%s is not installed", name)
	case err != nil:
		t.Fatal(err)
	}
	return path
}
