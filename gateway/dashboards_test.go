//go:build integration

package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/internal/testkit"
)

// A dashboardQuery is one that a panel, an annotation or a variable makes.
type dashboardQuery struct{ of, expr, label string }

// dashboardQueries returns all of them, with the variables that a person would have
// chosen.
func dashboardQueries(t *testing.T) (all []dashboardQuery) {
	t.Helper()
	chosen := strings.NewReplacer("$job", "exitgate", "$instance", ".*", "$app", ".*", "$jurisdiction", "FR", "$__rate_interval", "5s", "$__range", "1m")
	variable := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)
	files, err := filepath.Glob("../deploy/grafana/dashboards/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no dashboards: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d struct {
			Title  string
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
			Annotations struct{ List []struct{ Name, Expr string } }
			Templating  struct {
				List []struct{ Type, Name, Definition string }
			}
		}
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, p := range d.Panels {
			for i, q := range p.Targets {
				all = append(all, dashboardQuery{of: fmt.Sprintf("%s, %s, %d", d.Title, p.Title, i+1), expr: chosen.Replace(q.Expr)})
			}
		}
		for _, a := range d.Annotations.List {
			all = append(all, dashboardQuery{of: d.Title + ", " + a.Name, expr: chosen.Replace(a.Expr)})
		}
		for _, v := range d.Templating.List {
			if v.Type == "query" {
				found := variable.FindStringSubmatch(v.Definition)
				if found == nil {
					t.Fatalf("%s: a variable is %s", d.Title, v.Definition)
				}
				all = append(all, dashboardQuery{of: d.Title + ", " + v.Name, expr: chosen.Replace(found[1]), label: found[2]})
			}
		}
	}
	return all
}

// startPrometheus starts a Prometheus with the rules and no settings of its own but
// how often it scrapes.
func startPrometheus(t *testing.T, target string) (address string) {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	switch {
	case errors.Is(err, exec.ErrNotFound) && os.Getenv("CI") == "":
		t.Skip("prometheus is not installed")
	case err != nil:
		t.Fatal(err)
	}
	rules, err := filepath.Abs("../deploy/prometheus")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	testkit.WriteFile(t, filepath.Join(folder, "prometheus.yml"), fmt.Sprintf(`
global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}
rule_files: [%s/alerts.yml, %[1]s/objectives.yml]
scrape_configs: [{job_name: exitgate, static_configs: [{targets: [%q]}]}]
`, rules, target))
	address = fmt.Sprint("127.0.0.1:", testkit.FreePort(t))
	var log testkit.Buffer
	cmd := exec.Command(program, "--config.file="+filepath.Join(folder, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(folder, "data"), "--web.listen-address="+address)
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("the log of Prometheus:\n%s", &log)
		}
	})
	return address
}

// A queried value is what a query returns for one series.
type queried struct {
	Metric map[string]string
	Value  [2]any // when, and the number as text
}

func askPrometheus(c *http.Client, address, expr string) (samples []queried, err error) {
	res, err := c.Get("http://" + address + "/api/v1/query?" + url.Values{"query": {expr}}.Encode())
	if err != nil {
		return nil, err
	}
	a, err := read(res)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Error string
		Data  struct{ Result []queried }
	}
	if err := json.Unmarshal([]byte(a.body), &answer); err != nil {
		return nil, fmt.Errorf("%w in %s", err, a.body)
	}
	if answer.Error != "" {
		return nil, errors.New(answer.Error)
	}
	return answer.Data.Result, nil
}

// Whoever looks at a dashboard while this goes on sees no panel that is empty.
func TestEachQueryOfTheDashboardsReturnsNumbers(t *testing.T) {
	source := newFlagSource()
	source.below["DE"] = true
	g := start(t, setup{flags: source,
		handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/broken":
				w.WriteHeader(http.StatusInternalServerError)
			case "/websocket":
				if c, err := websocket.Accept(w, r, nil); err == nil {
					c.Close(websocket.StatusNormalClosure, "")
				}
			}
		}),
		configure: func(c *config.Config) { c.Caches.Purge = config.Purge{Command: []string{"true"}, Timeout: time.Minute} },
	})
	leaves := time.Now().AddDate(0, 1, 0).UTC().Format(time.RFC3339)
	g.proposes(fmt.Sprintf(`"policy": %q`, fmt.Sprintf(`version: 1
approvals: {withdraw: 1}
guarantees: {end-to-end-encryption: {require: true}}
demands:
  fr-law: {jurisdiction: FR, territories: none, title: A law, stage: adopted, in-force: %s, requires: {end-to-end-encryption: false}}
  ie-law: {jurisdiction: IE, title: Another law, stage: proposed, requires: {end-to-end-encryption: false}}
jurisdictions:
  US-MS: withdrawn
  US-TX: withdrawn # in no database here
  FR: {because: [fr-law], territories: none, phase: withdrawn}
  IE: {schedule: [{from: %s, phase: announced}]}
`, leaves, leaves)))
	g.proposes(`"set": {"jurisdiction": "US-CA", "phase": "withdrawn"}, "emergency": true`)
	g.proposes(`"set": {"jurisdiction": "RU", "phase": "withdrawn", "territories": []}`)

	prometheus := startPrometheus(t, g.at.Admin)
	stop, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c := g.client(1)
		for stop.Err() == nil {
			for _, r := range []struct{ line, from string }{
				{"/", france}, {"/robots.txt", france}, {"/", america}, {"/", mississippi}, {"/broken", ireland}, {"/", nowhere}, {"/", germany}, {"/", california}, {"/", "garbage"},
			} {
				if _, err := g.try(c, r.line, r.from); err != nil {
					t.Error(err)
					return
				}
			}
			if ws, _, err := websocket.Dial(stop, "wss://"+host+"/websocket", &websocket.DialOptions{HTTPClient: c}); err == nil {
				ws.Read(stop) // until it is closed
			}
			select {
			case <-stop.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	defer func() { cancel(); <-done }()

	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	c := &http.Client{Transport: transport}
	quantiles := 0
	waiting := dashboardQueries(t)
	for deadline := time.Now().Add(patience); len(waiting) > 0; time.Sleep(100 * time.Millisecond) {
		var missing []dashboardQuery
		var why []string
		for _, q := range waiting {
			samples, err := askPrometheus(c, prometheus, q.expr)
			if len(samples) == 0 && err == nil {
				err = errors.New("no data")
			}
			for _, s := range samples {
				if text := fmt.Sprint(s.Value[1]); text == "NaN" || strings.HasSuffix(text, "Inf") {
					err = fmt.Errorf("%s for %v", text, s.Metric)
				}
				if q.label != "" && s.Metric[q.label] == "" {
					err = fmt.Errorf("no %s in %v", q.label, s.Metric)
				}
			}
			if err != nil {
				missing, why = append(missing, q), append(why, fmt.Sprintf("%s: %v\n\t%s", q.of, err, q.expr))
			} else if strings.Contains(q.expr, "histogram_quantile") {
				quantiles++
			}
		}
		if waiting = missing; len(waiting) > 0 && time.Now().After(deadline) {
			t.Fatalf("%d queries:\n%s", len(waiting), strings.Join(why, "\n"))
		}
	}
	if quantiles == 0 {
		t.Error("no dashboard has a quantile")
	}
}
