package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/internal/testkit"
)

// guardedPolicy guarantees what the flag server says.
const guardedPolicy = `guarantees:
  end-to-end-encryption: {require: true, statement: Private messages are end-to-end encrypted.}
flags: {release: 0}
`

// guardedFlags are what a flag server says when all is well.
func guardedFlags() map[string]map[string]any {
	return map[string]map[string]any{"end-to-end-encryption": {"": true}, "release": {"": 1}}
}

const breached = `{flag="end-to-end-encryption",jurisdiction="FR"}`

// TestAForbiddenDowngradeIsWithheld has a flag server that begins to say that
// messages aren't encrypted in France.
func TestAForbiddenDowngradeIsWithheld(t *testing.T) {
	for _, over := range []string{"TCP", "TLS"} {
		t.Run("from a server over "+over, func(t *testing.T) {
			t.Parallel()
			source := newFlagServer(t, guardedFlags())
			m := newGatewayProcess(t, guardedPolicy)
			if over == "TLS" {
				m.flags = fmt.Sprintf("{url: %q, poll: 1s, ca: %q}", "https://"+source.address, source.startTLS(t))
			} else {
				source.start(t)
				m.flags = fmt.Sprintf("{url: %q, poll: 1s}", "http://"+source.address)
			}
			m.start()
			defer m.expectNeverSentToApp()
			m.becomesReady()

			for _, country := range []string{"FR", "DE"} {
				if status := m.gets(country); status != http.StatusOK {
					t.Fatalf("%s gets %d while all is well", country, status)
				}
				if told, _ := m.told(country); told != "end-to-end-encryption, release=1" {
					t.Errorf("while all is well, the app is told of %s: %q", country, told)
				}
			}
			requests := []string{"GET /", "POST /messages", "HEAD /messages"}
			german := m.everything("DE", requests...)

			// One round is enough: there is no second one before France is
			// withheld.
			withheld, rounds := make(chan struct{}), 0
			goOn := sync.OnceFunc(func() { close(withheld) })
			defer goOn()
			source.watch(func(about map[string]any) {
				if about["targetingKey"] != roundBegins {
					return
				}
				switch rounds++; rounds {
				case 1:
					source.set("end-to-end-encryption", "FR", false)
				case 2:
					<-withheld
				}
			})
			testkit.Eventually(t, "France is withheld", func() bool { return m.gets("FR") == http.StatusUnavailableForLegalReasons })
			goOn()
			source.watch(nil)
			m.expectOneAlert()
			m.expectWithheld()
			m.says("the notice", m.request("FR", "GET /", "Accept: application/problem+json").body,
				"docs/policy.md#guarantee", `"jurisdiction": "FR"`, "Private messages are end-to-end encrypted.")
			m.expectNoValueBelow()
			if diff := cmp.Diff(german, m.everything("DE", requests...)); diff != "" {
				t.Errorf("Germans get something else (-before +now)\n%s", diff)
			}

			// The server recovers, which is not for it to decide.
			source.set("end-to-end-encryption", "FR", true)
			m.waitForFlags(source, 2)
			m.expectWithheld()
			m.kill()
			m.start()
			m.expectWithheld()
			if news := m.metric("exitgate_guarantee_breaches_total" + breached); news != "" && news != "0" {
				t.Errorf("the breach of before the restart is counted again: %s", news)
			}
			m.waitForFlags(source, 3)
			m.expectWithheld()

			// Nor is it for who revises the policy and doesn't speak of it.
			m.revise(guardedPolicy + "jurisdictions: {FR: open}\n")
			testkit.Eventually(t, "the policy is taken", func() bool { return len(m.log.Lines("policy applied")) == 2 })
			m.expectWithheld()

			acknowledged := guardedPolicy + fmt.Sprintf("acknowledge:\n  - {flag: end-to-end-encryption, jurisdiction: FR, at: %s, by: Ana, because: A rule was wrong.}\n",
				time.Now().UTC().Format(time.RFC3339Nano))
			m.revise(acknowledged)
			testkit.Eventually(t, "France is served again", func() bool { return m.gets("FR") == http.StatusOK })
			if told, _ := m.told("FR"); told != "end-to-end-encryption, release=3" {
				t.Errorf("the app is told of France: %q", told)
			}
			if still := m.metric("exitgate_guarantee_breached" + breached); still != "" {
				t.Errorf("what is acknowledged is still in the metrics: %s", still)
			}

			// What was acknowledged was that one breach.
			source.set("end-to-end-encryption", "FR", false)
			testkit.Eventually(t, "France is withheld again", func() bool { return m.gets("FR") == http.StatusUnavailableForLegalReasons })
			m.expectOneAlert() // in this process
		})
	}
}

// expectOneAlert wants one alarm: in the metrics and in the log.
func (m *gatewayProcess) expectOneAlert() {
	m.t.Helper()
	if total := m.metric("exitgate_guarantee_breaches_total" + breached); total != "1" {
		m.t.Errorf("exitgate_guarantee_breaches_total%s is %q, want 1", breached, total)
	}
	if others := strings.Count(m.getAdmin("/metrics").body, "\nexitgate_guarantee_breaches_total{"); others != 1 {
		m.t.Errorf("%d kinds of breaches are counted:\n%s", others, m.getAdmin("/metrics").body)
	}
	alarms := m.log.Lines(`"level":"ERROR"`, "guarantee")
	if len(alarms) != 1 {
		m.t.Fatalf("%d alarms are logged, want 1: %q", len(alarms), alarms)
	}
	m.says("the log", alarms[0], "a flag is below its guarantee", "until a policy revision acknowledges it", `"jurisdiction":"FR"`, `"flag":"end-to-end-encryption"`)
}

// expectWithheld wants France refused and Germany served, and says that it is a
// breach of a guarantee.
func (m *gatewayProcess) expectWithheld() {
	m.t.Helper()
	if status := m.gets("FR"); status != http.StatusUnavailableForLegalReasons {
		m.t.Errorf("France gets %d, want 451", status)
	}
	if status := m.gets("DE"); status != http.StatusOK {
		m.t.Errorf("Germany gets %d", status)
	}
	if still := m.metric("exitgate_guarantee_breached" + breached); still != "1" {
		m.t.Errorf("exitgate_guarantee_breached%s is %q, want 1", breached, still)
	}
	if count := m.metric(`exitgate_decisions_total{action="refuse",jurisdiction="FR",phase="withdrawn",reason="guarantee"}`); count == "" || count == "0" {
		m.t.Errorf("no refusal is counted: %q", count)
	}
	ready := m.getAdmin("/readyz")
	if ready.status != http.StatusOK {
		m.t.Errorf("it is not ready: %s", ready.body)
	}
	m.says("/readyz", ready.body, "guarantee end-to-end-encryption in FR", "until the policy acknowledges it", "acknowledge:")
}

// expectNoValueBelow asks for flags over OFREP as an app does, for France as a
// whole and for users, while the source says what is below the guarantee.
func (m *gatewayProcess) expectNoValueBelow() {
	m.t.Helper()
	const withheld = `"errorCode":"GENERAL"`
	alarms := 1
	for _, about := range []map[string]any{
		{"targetingKey": "FR", "jurisdiction": "FR", "country": "FR"},
		{"targetingKey": "u-17", "jurisdiction": "FR"},
		{"jurisdiction": "FR"},
	} {
		single, all := m.evaluate("end-to-end-encryption", about), m.evaluate("", about)
		alarms += 2
		if single.status != http.StatusBadRequest || all.status != http.StatusOK {
			m.t.Errorf("for %v: %d and %d", about, single.status, all.status)
		}
		for _, answer := range []response{single, all} {
			if strings.Contains(answer.body, "false") || strings.Contains(answer.body, `"value":null`) {
				m.t.Errorf("for %v the app gets %s", about, answer.body)
			}
			m.says(fmt.Sprintf("the answer for %v", about), answer.body, withheld, "end-to-end-encryption in FR is below what is guaranteed (require true), and is withheld")
		}
		m.says("all flags", all.body, `"key":"release"`, `"value":1`)
	}
	german := m.evaluate("end-to-end-encryption", map[string]any{"targetingKey": "u-17", "jurisdiction": "DE"})
	var told struct{ Value any }
	if err := json.Unmarshal([]byte(german.body), &told); err != nil || told.Value != true || german.status != http.StatusOK {
		m.t.Errorf("for a German: %d %s", german.status, german.body)
	}
	// Each of them was an alarm, but the log has one line for all.
	if total := m.metric("exitgate_guarantee_breaches_total" + breached); total != fmt.Sprint(alarms) {
		m.t.Errorf("%s breaches are counted, want %d", total, alarms)
	}
	if lines := m.log.Lines(`"level":"ERROR"`, "guarantee"); len(lines) != 2 || !strings.Contains(lines[1], "for a user") {
		m.t.Errorf("%d alarms are logged, want 2: %q", len(lines), lines)
	}
}

// waitForFlags waits until the gateway goes by all that the server says now.
func (m *gatewayProcess) waitForFlags(source *flagServer, release int) {
	m.t.Helper()
	source.round(m.t)
	source.set("release", "", release)
	testkit.Eventually(m.t, "the gateway goes by what the server says now", func() bool {
		m.gets("DE")
		told, _ := m.told("DE")
		return strings.HasSuffix(told, fmt.Sprintf("release=%d", release))
	})
}

// expectNeverSentToApp wants the app to have been told nothing that is below a
// guarantee, by any request.
func (m *gatewayProcess) expectNeverSentToApp() {
	m.t.Helper()
	for _, told := range m.heard() {
		if text := strings.Join(told, "; "); strings.Contains(text, "end-to-end-encryption=") {
			m.t.Errorf("the app was told %s", text)
		}
	}
}

// TestNobodyButTheGatewayTellsTheAppOfMarkets has clients that claim to be
// elsewhere, with other flags, in each spelling that an app could read as ours.
func TestNobodyButTheGatewayTellsTheAppOfMarkets(t *testing.T) {
	t.Parallel()
	m := newGatewayProcess(t, guardedPolicy+"jurisdictions: {FR: announced}\n")
	m.revise(strings.Replace(guardedPolicy, "{release: 0}", "{end-to-end-encryption: true, release: 7}", 1))
	m.start()
	claims := []string{
		"Market-Flags: end-to-end-encryption=?0", "Market-Flags: release=8", "market-flags: release=9", "MARKET-FLAGS: release=10",
		"Market_Flags: end-to-end-encryption=?0", "MARKET_FLAGS: release=9", "market.flags: release=9", "Market-Flags-: release=9",
		"Market-Jurisdiction: DE", "market_jurisdiction: DE", "Market-Phase: withdrawn", "market_phase: withdrawn", "Market-Anything: x",
	}
	want := []string{"Market-Flags: end-to-end-encryption, release=7", "Market-Jurisdiction: FR", "Market-Phase: open"}
	from := "X-Forwarded-For: " + clients["FR"]
	lines := func(first string, more ...string) string {
		return strings.Join(append(append([]string{first, "Host: app.example", from}, claims...), more...), "\r\n") + "\r\n"
	}

	for _, c := range []struct {
		name   string
		status string
		ask    func() string
	}{
		{"HTTP/1.1", "200", func() string { return m.raw(lines("GET / HTTP/1.1", "Connection: close") + "\r\n") }},
		{"HTTP/1.0", "200", func() string { return m.raw(lines("GET / HTTP/1.0") + "\r\n") }},
		{"HTTP/1.1, as fields of the connection", "200", func() string {
			return m.raw(lines("GET / HTTP/1.1", "Connection: close, Market-Flags, Market-Jurisdiction, Market-Phase") + "\r\n")
		}},
		{"HTTP/1.1, in trailers", "200", func() string {
			return m.raw(lines("POST / HTTP/1.1", "Connection: close", "Trailer: Market-Flags, Market_Flags", "Transfer-Encoding: chunked") +
				"\r\n2\r\nhi\r\n0\r\nMarket-Flags: release=9\r\nMarket_Flags: release=9\r\n\r\n")
		}},
		{"HTTP/2", "200", func() string { return fmt.Sprint(m.request("FR", "GET /", claims...).status) }},
		{"a WebSocket's handshake", "101", func() string {
			return m.raw(lines("GET /live HTTP/1.1", "Connection: Upgrade, Market-Flags", "Upgrade: websocket",
				"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==") + "\r\n")
		}},
		{"HTTP/1.1, with a space before the colon", "400", func() string {
			return m.raw("GET / HTTP/1.1\r\nHost: app.example\r\n" + from + "\r\nMarket-Flags : release=9\r\nConnection: close\r\n\r\n")
		}},
	} {
		before := len(m.heard())
		answer := c.ask()
		status, _, _ := strings.Cut(answer, "\r\n")
		if !strings.Contains(status, c.status) {
			t.Errorf("%s: %s, want %s", c.name, status, c.status)
		}
		heard := m.heard()[before:]
		if c.status == "400" && len(heard) == 0 {
			continue
		}
		if len(heard) != 1 || !slices.Equal(heard[0], want) {
			t.Errorf("%s: the app heard %q, want %q", c.name, heard, want)
		}
	}
}
