//go:build integration

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/internal/testkit"
)

// mostMemory is what a gateway may hold at most, whatever its flag server
// sends: far more than it needs, and less than two of the answers that it must
// not read, of which it asks for eight at once. The race detector, which short
// runs are made with, holds several bytes for each.
func mostMemory() int {
	if testing.Short() {
		return 600 << 20
	}
	return 200 << 20
}

// faultyFlags are what the flag server says before it fails, and after: Italy
// is below the guarantee, and Spain is withdrawn.
func faultyFlags() map[string]map[string]any {
	return map[string]map[string]any{
		"end-to-end-encryption": {"": true, "IT": false},
		"exitgate.phase":        {"": "open", "ES": "withdrawn"},
		"release":               {"": 1},
	}
}

// TestAFlagServerThatFails fails from the start, then answers, then fails
// again, then through a restart of the gateway, then answers again.
func TestAFlagServerThatFails(t *testing.T) {
	if testing.Short() {
		t.Skip("13 gateways that are killed and started again: under the race detector, a busy machine needs minutes")
	}
	answers := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, body)
		}
	}
	status := func(code int, fields ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for _, field := range fields {
				name, value, _ := strings.Cut(field, ": ")
				w.Header().Set(name, value)
			}
			w.WriteHeader(code)
		}
	}
	for _, c := range []struct {
		name  string
		fails http.HandlerFunc // nil: the server isn't there
		words []string         // that say what is wrong, and what to do
	}{
		{"is down", nil,
			[]string{"can't be reached", "check flags.ofrep.url and whether it runs"}},
		{"dies while it answers", dropConnection,
			[]string{"broke off", "look into its log"}},
		{"hangs", neverAnswer,
			[]string{"did not answer within 1s", "look at its load"}},
		{"answers 401", status(http.StatusUnauthorized),
			[]string{"answered 401", "check flags.ofrep.token-file or flags.ofrep.api-key-file"}},
		{"answers 429", status(http.StatusTooManyRequests, "Retry-After: 1"),
			[]string{"answered 429 and wants no request before", "ask it less often (flags.ofrep.poll), or raise its limit"}},
		{"answers 500", status(http.StatusInternalServerError),
			[]string{"answered 500", "look into its log"}},
		{"answers with a page", status(http.StatusOK, "Content-Type: text/html"),
			[]string{"answered with something else than JSON", "check flags.ofrep.url"}},
		{"has no flags", answers(`{"flags":[]}`),
			[]string{"no flag source has it: add it there, or set it under flags: in the policy"}},
		{"sends half a JSON", answers(`{"flags":[{"key":"end-to-end-encryption","value":fal`),
			[]string{"it is not JSON, or only a part of it", "look into its log"}},
		{"sends 100 MB", answerOfSize(100 << 20),
			[]string{"sent more than 1048576 bytes", "give this client fewer flags"}},
		{"has wrong types", answers(`{"flags":[{"key":"end-to-end-encryption","value":"no"},{"key":"exitgate.phase","value":0},{"key":"release","value":"new"}]}`),
			[]string{"the flag's value is a string, not a boolean: correct it at the flag server", "the flag's value is an integer, not a string"}},
		{"has disabled them", answers(`{"flags":[{"key":"end-to-end-encryption","reason":"DISABLED"},{"key":"exitgate.phase","reason":"DISABLED"}]}`),
			[]string{"the source left the value to a default: is the flag disabled there?"}},
		{"can't evaluate them", answers(`{"flags":[{"key":"end-to-end-encryption","errorCode":"GENERAL"},{"key":"exitgate.phase","errorCode":"GENERAL"}]}`),
			[]string{"failed to evaluate the flag", "look into its log"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			source := newFlagServer(t, faultyFlags())
			m := newGatewayProcess(t, guardedPolicy)
			m.flags = fmt.Sprintf("{url: %q, poll: 1s, timeout: 1s}", "http://"+source.address)
			defer m.expectNeverSentToApp()
			fail := func() {
				if c.fails == nil {
					source.stop()
				} else {
					source.fail(c.fails)
				}
			}
			recover := func() {
				if c.fails == nil {
					source.start(t)
				} else {
					source.fail(nil)
				}
			}

			// Nothing is known: nothing is served.
			if c.fails != nil {
				source.start(t)
			}
			fail()
			m.start()
			m.expectCheckFails(http.StatusServiceUnavailable, "nothing is served until the source answers", c.words)
			for country := range clients {
				got := m.request(country, "GET /")
				if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
					t.Errorf("%s gets %d before any flag is known", country, got.status)
				}
			}
			if heard := m.heard(); len(heard) > 0 {
				t.Errorf("the app heard %q before any flag was known", heard)
			}

			recover()
			m.becomesReady()
			m.expectLastGood("once the server answers")

			// All that is known stays, over a restart too.
			fail()
			m.expectCheckFails(http.StatusOK, "what was known stays in use", c.words)
			m.expectLastGood("while the server fails")
			m.kill()
			m.start()
			m.expectCheckFails(http.StatusOK, "what was known stays in use", c.words)
			m.expectLastGood("while the server fails, after a restart")

			recover()
			testkit.Eventually(t, "all flags are answered", func() bool { return m.ready("flags") })
			m.expectLastGood("when the server is back")
		})
	}
}

// TestAFlagServerThatFlaps changes what it says of France, or fails, each time
// that it is asked.
func TestAFlagServerThatFlaps(t *testing.T) {
	t.Parallel()
	source := newFlagServer(t, guardedFlags())
	source.start(t)
	m := newGatewayProcess(t, guardedPolicy)
	m.flags = fmt.Sprintf("{url: %q, poll: 1s}", "http://"+source.address)
	m.start()
	defer m.expectNeverSentToApp()
	m.becomesReady()

	flaps, rounds := make(chan struct{}, 1), 0
	source.watch(func(about map[string]any) {
		if about["targetingKey"] != roundBegins {
			return
		}
		rounds++
		source.set("end-to-end-encryption", "FR", rounds%2 == 0)
		if rounds%3 == 0 {
			source.fail(func(w http.ResponseWriter, _ *http.Request) {
				source.fail(nil)
				w.WriteHeader(http.StatusBadGateway)
			})
		}
		select {
		case flaps <- struct{}{}:
		default:
		}
	})
	defer source.watch(nil)
	testkit.Eventually(t, "France is withheld", func() bool { return m.gets("FR") == http.StatusUnavailableForLegalReasons })
	for range 6 {
		select {
		case <-flaps:
		case <-time.After(patience):
			t.Fatal("the gateway doesn't ask for flags")
		}
		m.expectWithheld()
	}
	m.expectOneAlert()
}

// withLastGoodFlags returns a machine that has been told of a breach in Italy, and was
// killed.
func withLastGoodFlags(t *testing.T) (*gatewayProcess, *flagServer) {
	t.Helper()
	source := newFlagServer(t, faultyFlags())
	source.start(t)
	m := newGatewayProcess(t, guardedPolicy)
	m.flags = fmt.Sprintf("{url: %q, poll: 1s}", "http://"+source.address)
	m.start()
	m.becomesReady()
	m.expectLastGood("at first")
	m.kill()
	source.set("end-to-end-encryption", "IT", true)
	return m, source
}

// TestADiskThatIsFull fails to keep what is known of flags.
func TestADiskThatIsFull(t *testing.T) {
	t.Parallel()
	m, source := withLastGoodFlags(t)
	defer m.expectNeverSentToApp()
	m.limit = "8"
	source.set("end-to-end-encryption", "FR", false)
	m.start()
	testkit.Eventually(t, "France is withheld", func() bool { return m.gets("FR") == http.StatusUnavailableForLegalReasons })
	for country, want := range map[string]int{"IT": 451, "ES": 451, "DE": 200} {
		if status := m.gets(country); status != want {
			t.Errorf("%s gets %d, want %d", country, status, want)
		}
	}
	advice := "make room in the data folder, and let the gateway write to it"
	m.expectCheckFails(http.StatusOK, "the next start would forget the guarantees that were broken", []string{advice})
	source.round(t)
	if lines := m.log.Lines(advice); len(lines) != 1 {
		t.Errorf("it is logged %d times: %q", len(lines), lines)
	}

	// What was kept before is whole.
	m.kill()
	m.limit = ""
	source.set("end-to-end-encryption", "FR", true)
	m.start()
	if status := m.gets("IT"); status != http.StatusUnavailableForLegalReasons {
		t.Errorf("after a restart, Italy gets %d", status)
	}
}

// TestWhatIsKnownOfFlagsCanNotBeRead is no reason to forget it.
func TestWhatIsKnownOfFlagsCanNotBeRead(t *testing.T) {
	t.Parallel()
	m, _ := withLastGoodFlags(t)
	good, err := os.ReadFile(m.file("data/flags.json"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"garbage":       "\x00\xff garbage",
		"nothing":       "",
		"null":          "null",
		"half of it":    string(good[:len(good)/2]),
		"another thing": `[true]`,
		"too much":      strings.Repeat(" ", 17<<20) + string(good),
	} {
		m.write("data/flags.json", text)
		if m.run() {
			m.kill()
			t.Errorf("with %s, it starts", name)
			continue
		}
		if code := m.cmd.ProcessState.ExitCode(); code != exitFailed {
			t.Errorf("with %s, it ends with %d", name, code)
		}
		m.says("with "+name+", the log", m.log.String(), "restore "+m.file("data/flags.json")+", or remove it to start anew, which forgets breaches of guarantees that nobody has acknowledged")
	}
	m.write("data/flags.json", string(good))
	m.start()
	m.expectLastGood("with what is restored")
}

// TestTheTokenForTheFlagServer goes missing, and is changed.
func TestTheTokenForTheFlagServer(t *testing.T) {
	t.Parallel()
	source := newFlagServer(t, faultyFlags())
	source.wants("s3cret-1")
	source.start(t)
	m := newGatewayProcess(t, guardedPolicy)
	defer m.expectNeverSentToApp()
	m.flags = fmt.Sprintf("{url: %q, poll: 1s, token-file: %q}", "http://"+source.address, m.file("token"))

	if m.run() {
		m.kill()
		t.Fatal("it starts without a token")
	}
	m.says("the log without a token", m.log.String(), "flags.ofrep.token-file", m.file("token"))
	m.write("token", "s3cret-1\n")
	m.start()
	m.becomesReady()
	m.expectLastGood("with a token")

	if err := os.Remove(m.file("token")); err != nil {
		t.Fatal(err)
	}
	m.expectCheckFails(http.StatusOK, "what was known stays in use", []string{"was not asked, as there are no credentials", "flags.ofrep.token-file"})
	m.expectLastGood("without a token")
	source.wants("s3cret-2")
	m.write("token", "s3cret-1")
	m.expectCheckFails(http.StatusOK, "what was known stays in use", []string{"answered 401", "check flags.ofrep.token-file"})
	m.expectLastGood("with a token that is out of date")
	m.write("token", "s3cret-2")
	testkit.Eventually(t, "all flags are answered", func() bool { return m.ready("flags") })
	m.expectLastGood("with the new token")
	if all := m.log.String() + m.getAdmin("/readyz").body + m.getAdmin("/metrics").body; strings.Contains(all, "s3cret") {
		t.Errorf("the token is told: %s", all)
	}
}

// expectCheckFails waits until /readyz says what is wrong, and wants the log to say
// it as well.
func (m *gatewayProcess) expectCheckFails(status int, consequence string, words []string) {
	m.t.Helper()
	all := append([]string{consequence}, words...)
	testkit.Eventually(m.t, fmt.Sprintf("/readyz says %q", all), func() bool {
		got := m.getAdmin("/readyz")
		for _, w := range all {
			if !strings.Contains(got.body, w) {
				return false
			}
		}
		return got.status == status
	})
	testkit.Eventually(m.t, fmt.Sprintf("the log says %q", words), func() bool {
		log := m.log.String()
		return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(log, w) })
	})
}

// expectLastGood wants served what was served when the server answered, and nothing
// else.
func (m *gatewayProcess) expectLastGood(when string) {
	m.t.Helper()
	for country, want := range map[string]int{"FR": 200, "DE": 200, "GF": 200, "IT": 451, "ES": 451} {
		if status := m.gets(country); status != want {
			m.t.Errorf("%s, %s gets %d, want %d", when, country, status, want)
		}
	}
	for _, country := range []string{"FR", "DE"} {
		if told, _ := m.told(country); !strings.HasPrefix(told, "end-to-end-encryption, release=") {
			m.t.Errorf("%s, the app is told of %s: %q", when, country, told)
		}
	}
	for _, country := range []string{"IT", "ES"} {
		if _, requests := m.told(country); requests > 0 {
			m.t.Errorf("%s, %d requests from %s have come to the app", when, requests, country)
		}
	}
	if memory := m.peakMemory(); memory > mostMemory() {
		m.t.Errorf("%s, the gateway has held %d MB", when, memory>>20)
	}
}

// ready reports whether a check of /readyz has passed.
func (m *gatewayProcess) ready(check string) bool {
	m.t.Helper()
	var state struct {
		Checks map[string]struct{ OK bool }
	}
	if err := json.Unmarshal([]byte(m.getAdmin("/readyz").body), &state); err != nil {
		m.t.Fatal(err)
	}
	return state.Checks[check].OK
}

// dropConnection breaks off in the middle of an answer.
func dropConnection(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, `{"flags":[`)
	panic(http.ErrAbortHandler)
}

// neverAnswer answers when nobody waits any more.
func neverAnswer(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// answerOfSize returns what sends a list of flags of so many bytes.
func answerOfSize(size int) http.HandlerFunc {
	flag := []byte(`{"key":"f","value":"` + strings.Repeat("x", 64<<10) + `"},`)
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"flags":[`)
		for sent := 0; sent < size; sent += len(flag) {
			if _, err := w.Write(flag); err != nil {
				return
			}
		}
		_, _ = io.WriteString(w, `{"key":"last","value":true}]}`)
	}
}

// peakMemory returns how many bytes of memory the gateway has held at most; 0
// where the system doesn't tell.
func (m *gatewayProcess) peakMemory() int {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.cmd.Process.Pid))
	kilobytes := 0
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			fmt.Sscan(value, &kilobytes)
		}
	}
	return kilobytes << 10
}

// wants makes the server want a bearer token.
func (s *flagServer) wants(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = token
}
