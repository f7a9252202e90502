package gateway_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy/changes"
)

// ours returns the names, help texts and types in an exposition that are the
// gateway's own.
func ours(exposition string) string {
	var b strings.Builder
	for line := range strings.Lines(exposition) {
		if strings.HasPrefix(line, "# HELP exitgate_") || strings.HasPrefix(line, "# TYPE exitgate_") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// startWithTraffic returns a gate at which everything has happened that is counted.
func startWithTraffic(t *testing.T) *gate {
	g := start(t, setup{policy: spoofed})
	c := g.client(2)
	g.request(c, "/", france)
	g.request(c, "/", america)
	g.raw(lines("GET / HTTP/1.1", "Host: evil.example"))
	return g
}

func TestTheMetricsAreThese(t *testing.T) {
	_, exposition := startWithTraffic(t).admin("/metrics")
	testkit.Golden(t, "testdata/metrics.txt", ours(exposition))
}

func TestPromtoolFindsNothingWrongWithTheMetrics(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("promtool is not installed")
	}
	_, exposition := startWithTraffic(t).admin("/metrics")
	var own strings.Builder
	for line := range strings.Lines(exposition) {
		if strings.Contains(line, "exitgate_") {
			own.WriteString(line)
		}
	}
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(own.String())
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

var labels = regexp.MustCompile(`(\w+)="([^"]*)"`)

func TestLabelsComeFromClosedSets(t *testing.T) {
	g := startWithTraffic(t)
	// Whatever clients send, no label is one of theirs.
	for _, request := range []string{
		lines("BREW /pot HTTP/1.1", "Host: "+host), lines("GET / HTTP/1.1", "Host: strange.example"),
		lines("GET / HTTP/1.1", "Host: "+host, "X-Forwarded-For: strange"), lines("GET /strange HTTP/1.1", "Host: "+host, "Market-Jurisdiction: strange"),
		lines("GET / HTTP/1.1", "Host: str@nge"), lines("GET /%2e%2e/strange HTTP/1.1", "Host: "+host),
	} {
		g.raw(request)
	}
	closed := map[string][]string{
		"jurisdiction": nil, // checked below
		"phase":        {"open", "announced", "closed-to-new", "wind-down", "withdrawn"},
		"action":       {"forward", "refuse", "would-refuse"},
		"protocol":     {"http/1.1", "h2", "h3", "websocket"},
		"result":       {"located", "unlocated", "private"},
		"upstream":     {g.app.URL},
		"database":     {g.geo},
		"host":         {host, "localhost", "127.0.0.1", "::1"},
		"mode":         {"enforce"},
	}
	code := regexp.MustCompile(`^([A-Z]{2}|private|unlocated|other)$`) // of few together: other
	word := regexp.MustCompile(`^[a-z-]+$`)
	for sample := range g.samples() {
		if !strings.HasPrefix(sample, "exitgate_") {
			continue
		}
		if strings.Contains(sample, "strange") {
			t.Errorf("a client made %s", sample)
		}
		for _, l := range labels.FindAllStringSubmatch(sample, -1) {
			name, value := l[1], l[2]
			switch set, ok := closed[name]; {
			case name == "jurisdiction":
				if !code.MatchString(value) {
					t.Errorf("%s: jurisdiction %q", sample, value)
				}
			case name == "reason":
				if !word.MatchString(value) {
					t.Errorf("%s: reason %q", sample, value)
				}
			case ok && !slices.Contains(set, value):
				t.Errorf("%s: %s %q", sample, name, value)
			}
		}
	}
}

func TestWhatCanBeCountedIsShownFromZero(t *testing.T) {
	g := start(t, setup{policy: spoofed})
	samples := g.samples()
	for _, name := range []string{
		`exitgate_decisions_total{action="refuse",jurisdiction="FR",phase="withdrawn",reason="entry"}`,
		`exitgate_decisions_total{action="forward",jurisdiction="US",phase="open",reason="default"}`,
		`exitgate_requests_rejected_total{reason="unknown-host"}`,
		`exitgate_requests_rejected_total{reason="ambiguous-path"}`,
		`exitgate_requests_rejected_total{reason="ambiguous-method"}`,
		`exitgate_requests_rejected_total{reason="malformed"}`,
		`exitgate_requests_rejected_total{reason="proxy-protocol-late"}`,
		`exitgate_geo_database_reload_failures_total{database="` + g.geo + `"}`,
		`exitgate_policy_apply_failures_total`, `exitgate_certificate_reload_failures_total`, `exitgate_certificate_obtain_failures_total`, `exitgate_tls_handshake_errors_total`, `exitgate_connection_errors_total`,
		`exitgate_panics_total`, `exitgate_transitions_total`, `exitgate_connections_severed_total`,
	} {
		if n, ok := samples[name]; n != 0 || !ok {
			t.Errorf("%s is %v, %v", name, n, ok)
		}
	}
}

// A Prometheus as it comes scrapes no native histograms.
func TestDurationsHaveBuckets(t *testing.T) {
	g := startWithTraffic(t)
	samples := g.samples()
	all := samples[`exitgate_request_duration_seconds_bucket{action="forward",app="app.example",code="2xx",le="+Inf"}`]
	if all == 0 || samples[`exitgate_request_duration_seconds_bucket{action="forward",app="app.example",code="2xx",le="60"}`] != all {
		t.Errorf("of %v requests, %v took up to a minute", all, samples[`exitgate_request_duration_seconds_bucket{action="forward",app="app.example",code="2xx",le="60"}`])
	}
}

func TestALedgerHasMetricsOfItsOwn(t *testing.T) {
	g := start(t, setup{})
	_, exposition := g.admin("/metrics")
	var got strings.Builder
	for line := range strings.Lines(exposition) {
		for _, of := range []string{"exitgate_ledger_", "exitgate_change", "exitgate_emergenc", "exitgate_policy_revision"} {
			if strings.HasPrefix(line, of) {
				got.WriteString(line)
			}
		}
	}
	want := lines(
		"exitgate_change_expiry_timestamp_seconds 0",
		"exitgate_changes_pending 0",
		"exitgate_emergencies_taken_back_unsigned 0",
		"exitgate_emergencies_unsigned 0",
		"exitgate_emergency_signature_due_timestamp_seconds 0",
		"exitgate_ledger_connected 1",
		fmt.Sprint("exitgate_ledger_format_lowest ", changes.Format),
		"exitgate_ledger_records_differing 0",
		"exitgate_ledger_records_refused_total 0",
		"exitgate_ledger_records_unknown 0",
		"exitgate_ledger_unrecorded 0",
		"exitgate_policy_revision 1",
	)
	if strings.TrimSpace(got.String()) != strings.TrimSpace(strings.ReplaceAll(want, "\r", "")) {
		t.Errorf("they are\n%s", got.String())
	}
}

func TestDurationsSayHowRequestsEnded(t *testing.T) {
	g := start(t, setup{policy: "version: 1\n", handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hints":
			w.WriteHeader(http.StatusEarlyHints)
			http.Redirect(w, r, "/", http.StatusSeeOther)
		case "/broken":
			w.WriteHeader(http.StatusInternalServerError)
		case "/cut":
			panic(http.ErrAbortHandler)
		case "/websocket":
			if c, err := websocket.Accept(w, r, nil); err == nil {
				c.Close(websocket.StatusNormalClosure, "")
			}
		}
	})})
	c := g.client(1)
	for _, path := range []string{"/hints", "/broken", "/cut", "/"} {
		g.request(c, path, america)
	}
	ws, _, err := websocket.Dial(t.Context(), "wss://"+host+"/websocket", &websocket.DialOptions{HTTPClient: c})
	if err != nil {
		t.Fatal(err)
	}
	ws.Read(t.Context()) // until it is closed
	for class, want := range map[string]float64{"1xx": 1, "2xx": 1, "3xx": 1, "5xx": 2} {
		testkit.Eventually(t, class+" is counted", func() bool {
			return g.samples()[`exitgate_request_duration_seconds_count{action="forward",app="app.example",code="`+class+`"}`] == want
		})
	}
}
