// Package deploy holds nothing but tests of the files beside it.
package deploy

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v4"

	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/gateway/metrics"
)

func TestAlertsFireWhenTheyShould(t *testing.T) {
	promtool := installed(t, "promtool")
	for _, args := range [][]string{{"check", "config", "prometheus.yml"}, {"test", "rules", "alerts_test.yml", "days_test.yml"}} {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = "prometheus"
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, said)
		}
	}
}

// rules are the groups of a file of rules, as far as tests look at them.
type rules struct {
	Groups []struct {
		Rules []struct {
			Alert       string
			Labels      struct{ Severity string }
			Annotations map[string]string
		}
	}
}

// A ruleTest is a file of tests for promtool, likewise.
type ruleTest struct {
	Tests []struct {
		Cases []struct {
			Alert string `yaml:"alertname"`
			Fires []any  `yaml:"exp_alerts"`
		} `yaml:"alert_rule_test"`
	}
}

const runbooks = "https://github.com/exitgate/exitgate/blob/main/docs/alerts.md#"

func TestEachAlertHasARunbookAndACaseInWhichItFiresAndOneInWhichItIsSilent(t *testing.T) {
	fires, silent := make(map[string]bool), make(map[string]bool)
	for _, file := range []string{"prometheus/alerts_test.yml", "prometheus/days_test.yml"} {
		for _, test := range parse[ruleTest](t, file).Tests {
			for _, c := range test.Cases {
				fires[c.Alert] = fires[c.Alert] || len(c.Fires) > 0
				silent[c.Alert] = silent[c.Alert] || len(c.Fires) == 0
			}
		}
	}
	documented := make(map[string]bool)
	for _, heading := range regexp.MustCompile(`(?m)^### (\w+)$`).FindAllStringSubmatch(read(t, "../docs/alerts.md"), -1) {
		documented[heading[1]] = true
	}
	for _, file := range []string{"prometheus/alerts.yml", "prometheus/objectives.yml"} {
		for _, group := range parse[rules](t, file).Groups {
			for _, rule := range group.Rules {
				name := rule.Alert
				if name == "" {
					continue
				}
				if !fires[name] || !silent[name] {
					t.Errorf("%s: a case in which it fires: %v; one in which it is silent: %v", name, fires[name], silent[name])
				}
				if got := rule.Annotations["runbook_url"]; got != runbooks+strings.ToLower(name) || !documented[name] {
					t.Errorf("%s: its runbook is %s, which docs/alerts.md has: %v", name, got, documented[name])
				}
				if s := rule.Labels.Severity; s != "critical" && s != "warning" && s != "info" {
					t.Errorf("%s: its severity is %q", name, s)
				}
				delete(documented, name)
			}
		}
	}
	for name := range documented {
		t.Errorf("docs/alerts.md has %s, which is no alert", name)
	}
}

// promtool can't know that a metric doesn't exist.
func TestRulesAndDashboardsAskOnlyForMetricsThatTheGatewayHas(t *testing.T) {
	have := describe()
	dashboards, err := filepath.Glob("grafana/dashboards/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		have["exitgate_request_duration_seconds"+suffix] = true
	}
	recorded := regexp.MustCompile(`\w+:exitgate_\w+:\w+`)
	asked := regexp.MustCompile(`\bexitgate_\w+`)
	for _, file := range append(dashboards, "prometheus/alerts.yml", "prometheus/objectives.yml") {
		for _, name := range asked.FindAllString(recorded.ReplaceAllString(read(t, file), ""), -1) {
			if !have[name] {
				t.Errorf("%s: the gateway has no metric %s", file, name)
			}
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
	units := []string{"verify", "--man=no", path}
	for _, name := range []string{"exitgate-https.socket", "exitgate-http.socket"} {
		socket := filepath.Join(filepath.Dir(path), name)
		if err := os.WriteFile(socket, []byte(read(t, "systemd/"+name)), 0o644); err != nil {
			t.Fatal(err)
		}
		units = append(units, socket)
	}
	if said, err := exec.Command(analyze, units...).CombinedOutput(); err != nil || len(said) > 0 {
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

// A composition is a compose file, as far as tests look at it.
type composition struct {
	Services map[string]struct {
		Environment map[string]string
		Volumes     []string
		Ports       []string
	}
	Configs map[string]struct{ Content string }
}

func TestWhatIsComposedIsThere(t *testing.T) {
	compose := parse[composition](t, "compose.yaml")
	settings, err := config.Parse("compose.yaml", []byte(compose.Configs["settings"].Content))
	if err == nil {
		err = settings.Validate()
	}
	if err != nil {
		t.Errorf("the gateway's settings: %v", err)
	}
	// What a program finds at a path in its container.
	inside := func(service, path string) string {
		for _, volume := range compose.Services[service].Volumes {
			from, to, _ := strings.Cut(strings.TrimSuffix(volume, ":ro"), ":")
			if rest, ok := strings.CutPrefix(path, to); ok && strings.HasPrefix(from, "./") {
				return from + rest
			}
		}
		t.Fatalf("%s has no %s", service, path)
		return ""
	}
	scraped := parse[struct {
		Scrape []struct {
			Static []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}](t, inside("prometheus", "/etc/prometheus/prometheus.yml"))
	if got := scraped.Scrape[0].Static[0].Targets[0]; got != settings.Admin.Listen {
		t.Errorf("Prometheus scrapes %s, and metrics are at %s", got, settings.Admin.Listen)
	}
	provisioned := parse[struct {
		Providers []struct{ Options struct{ Path string } }
	}](t, inside("grafana", "/etc/grafana/provisioning/dashboards/exitgate.yaml"))
	read(t, inside("grafana", compose.Services["grafana"].Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]))
	read(t, inside("grafana", provisioned.Providers[0].Options.Path+"/exitgate-ledger.json"))
	read(t, inside("grafana", "/etc/grafana/provisioning/datasources/prometheus.yaml"))
	for name, service := range compose.Services {
		for _, port := range service.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s opens a port to everybody: %s", name, port)
			}
		}
	}
}

// parse reads a file of YAML.
func parse[T any](t *testing.T, path string) (value T) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, path)), &value); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return value
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
