package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/internal/testkit"
)

// TestTheStory is what exitgate is for, from before France adopts a law until
// after it is repealed.
func TestTheStory(t *testing.T) {
	t.Parallel()
	s := beginStory(t)
	s.theLawIsProposed()
	s.theLawIsAdopted()
	s.theOperatorPlansTheExit()
	s.timePasses()
	s.theLawIsRepealed()
}

// storyPolicy is what the operator's policy says all the time.
const storyPolicy = `guarantees:
  end-to-end-encryption: {require: true, statement: Private messages are end-to-end encrypted.}
routes:
  sign-up: [POST /signup]
  export: [/login, /account/export]
  essential: [/legal/]
flags: {end-to-end-encryption: true}
notices:
  default:
    blocked-by: https://example.org/transparency
    appeal: https://example.org/appeal
    export: https://example.org/account/export
`

// storyDemands are the law at a stage, and an order with it that may not be
// disclosed.
func storyDemands(stage string) string {
	return fmt.Sprintf(`demands:
  fr-narcotrafic-8ter:
    jurisdiction: FR
    title: Access to encrypted private messages
    authority: Sénat
    source: https://example.org/law
    stage: %s
    in-force: 2026-12-01T00:00:00Z
    requires: {end-to-end-encryption: false}
  fr-order:
    jurisdiction: FR
    title: Order of the secret kind
    authority: An authority without a name
    source: https://example.org/order
    stage: %[1]s
    in-force: 2026-12-01T00:00:00Z
    requires: {end-to-end-encryption: false}
    disclose: false
`, stage)
}

// storySecrets are what nobody may learn of the order.
var storySecrets = []string{"secret kind", "without a name", "example.org/order", "fr-order"}

const storySchedule = `jurisdictions:
  FR:
    because: [fr-narcotrafic-8ter, fr-order]
    territories: true
    schedule:
      - {from: 2026-10-01T00:00:00Z, phase: announced}
      - {from: 2026-11-01T00:00:00Z, phase: closed-to-new}
      - {from: 2026-11-15T00:00:00Z, phase: wind-down}
      - {from: 2026-12-01T00:00:00Z, phase: withdrawn}
`

// storyPhases are what the schedule does, and what it is to serve.
var storyPhases = []struct {
	name, from, eve string
	served          map[string]bool // by route class
}{
	{"announced", "2026-10-01T00:00:00Z", "2026-09-30T23:59:59Z", map[string]bool{"sign-up": true, "export": true, "essential": true, "other": true}},
	{"closed-to-new", "2026-11-01T00:00:00Z", "2026-10-31T23:59:59Z", map[string]bool{"export": true, "essential": true, "other": true}},
	{"wind-down", "2026-11-15T00:00:00Z", "2026-11-14T23:59:59Z", map[string]bool{"export": true, "essential": true}},
	{"withdrawn", "2026-12-01T00:00:00Z", "2026-11-30T23:59:59Z", map[string]bool{"essential": true}},
}

// storyRequests are some of each route class.
var storyRequests = map[string][]string{
	"sign-up":   {"POST /signup"},
	"export":    {"GET /account/export", "POST /login"},
	"essential": {"GET /legal/imprint", "GET /robots.txt"},
	"other":     {"GET /", "GET /messages?page=2", "PUT /messages/7", "HEAD /messages", "GET /signup"},
}

// A storyTest is told on a machine whose clock the test sets.
type storyTest struct {
	*gatewayProcess
	german, french string // all that they get while nothing has happened
}

func beginStory(t *testing.T) *storyTest {
	t.Helper()
	s := &storyTest{gatewayProcess: newGatewayProcess(t, storyPolicy+storyDemands("proposed"))}
	s.clock = s.file("clock")
	s.on("2026-09-15T12:00:00Z")
	s.start()
	s.german, s.french = s.service("DE"), s.service("FR")
	if !strings.Contains(s.german, `Market-Flags: ["end-to-end-encryption"]`) || !strings.Contains(s.german, `Market-Phase: ["open"]`) {
		t.Errorf("what Germans get doesn't come from the app:\n%s", s.german)
	}
	return s
}

// on sets the clock.
func (s *storyTest) on(moment string) { s.write("clock", moment) }

// service returns all that clients of a country get of the service.
func (s *storyTest) service(country string) string {
	s.t.Helper()
	var all []string
	for _, class := range []string{"sign-up", "export", "essential", "other"} {
		all = append(all, storyRequests[class]...)
	}
	return s.everything(country, all...)
}

// germansNoticeNothing holds what they get, to the byte, against what they got
// when nothing had happened.
func (s *storyTest) germansNoticeNothing(when string) {
	s.t.Helper()
	if diff := cmp.Diff(s.german, s.service("DE")); diff != "" {
		s.t.Errorf("%s, Germans get something else (-before +now)\n%s", when, diff)
	}
}

// frenchNoticeNothing is the same for the French.
func (s *storyTest) frenchNoticeNothing(when string) {
	s.t.Helper()
	if diff := cmp.Diff(s.french, s.service("FR")); diff != "" {
		s.t.Errorf("%s, the French get something else (-before +now)\n%s", when, diff)
	}
}

func (s *storyTest) theLawIsProposed() {
	out, warnings, code := s.check("policy.yaml")
	s.says("check of a law that is proposed", warnings,
		"fr-narcotrafic-8ter is proposed; in force, it requires end-to-end-encryption: false from 2026-12-01T00:00:00Z on, which breaks the guarantee (require true), and FR would have to be withdrawn",
		"plan the exit in time")
	s.says("check of a law that is proposed", out, "policy.yaml is valid")
	if code != exitDone {
		s.t.Errorf("check of a law that is proposed ends with %d", code)
	}
}

// theLawIsAdopted, and the operator notes just that. By the policy, the
// service would then be served against the law or the promise.
func (s *storyTest) theLawIsAdopted() {
	const adopted = "version: 1\n" + storyPolicy
	s.write("adopted.yaml", adopted+storyDemands("adopted"))
	out, why, code := s.check("adopted.yaml")
	s.says("check of a law without an exit", why,
		"fr-narcotrafic-8ter requires end-to-end-encryption: false from 2026-12-01T00:00:00Z on, which breaks the guarantee (require true); but FR is open then",
		"withdraw FR by 2026-12-01T00:00:00Z,",
		"or show that the demand is suspended (stayed by a court), rejected or repealed: change its stage")
	if code != exitRefused || out != "" {
		s.t.Errorf("check of a law without an exit ends with %d, and says %q", code, out)
	}

	late := strings.Replace(storySchedule, "2026-12-01T00", "2026-12-01T01", 1)
	s.write("late.yaml", adopted+storyDemands("adopted")+late)
	_, why, code = s.check("late.yaml")
	s.says("check of an exit an hour too late", why, "but FR is served until 2026-12-01T01:00:00Z, 1h longer")
	if code != exitRefused {
		s.t.Errorf("check of an exit an hour too late ends with %d", code)
	}

	// Who doesn't check first changes nothing either.
	s.revise(storyPolicy + storyDemands("adopted"))
	testkit.Eventually(s.t, "the gateway says that the policy is wrong", func() bool {
		return len(s.log.Lines("the policy is wrong; the previous one stays in use", "which breaks the guarantee")) == 1
	})
	if healthy := s.metric("exitgate_policy_last_apply_successful"); healthy != "0" {
		s.t.Errorf("with a policy that is wrong, exitgate_policy_last_apply_successful is %q", healthy)
	}
	s.frenchNoticeNothing("with a policy that is wrong")
	s.germansNoticeNothing("with a policy that is wrong")
}

func (s *storyTest) theOperatorPlansTheExit() {
	planned := storyPolicy + storyDemands("adopted") + storySchedule
	s.write("planned.yaml", "version: 1\n"+planned)
	out, warnings, code := s.check("planned.yaml", "--at", "2026-09-15T12:00:00Z")
	s.says("check of the plan", out, "planned.yaml is valid",
		"announced from 2026-10-01, closed-to-new from 2026-11-01, wind-down from 2026-11-15, withdrawn from 2026-12-01",
		"FR speaks also of BL, GF, GP, MF, MQ, NC, PF, PM, RE, TF, WF, YT")
	if code != exitDone || warnings != "" {
		s.t.Errorf("check of the plan ends with %d, and warns %q", code, warnings)
	}
	s.revise(planned)
	testkit.Eventually(s.t, "the gateway takes the plan", func() bool { return s.phase("FR") == "open" })
	s.frenchNoticeNothing("before the first date")
	s.germansNoticeNothing("before the first date")
}

func (s *storyTest) timePasses() {
	before := "open"
	for _, phase := range storyPhases {
		s.on(phase.eve)
		if now := s.phase("FR"); now != before {
			s.t.Errorf("on the eve of %s, it is %s", phase.name, now)
		}
		s.on(phase.from)
		for _, country := range []string{"FR", "GF"} {
			for class, lines := range storyRequests {
				for _, line := range lines {
					if phase.served[class] {
						s.serves(country, line, phase.name)
					} else {
						s.refuses(country, line, class, phase.name, phase.from)
					}
				}
			}
		}
		if now := s.phase("FR"); now != phase.name {
			s.t.Errorf("in %s, it is %s", phase.name, now)
		}
		s.publishes(phase.name, phase.from)
		s.germansNoticeNothing("in " + phase.name)
		before = phase.name
	}
	s.on("2026-09-15T12:00:00Z")
	if status := s.gets("FR"); status != http.StatusUnavailableForLegalReasons {
		s.t.Errorf("with a clock that is set back, France gets %d", status)
	}
	s.on("2027-03-01T09:00:00Z")
}

func (s *storyTest) theLawIsRepealed() {
	s.revise(storyPolicy + storyDemands("repealed") + storySchedule)
	testkit.Eventually(s.t, "the gateway takes the news", func() bool { return s.warned("which is repealed") })
	if status := s.gets("FR"); status != http.StatusUnavailableForLegalReasons {
		s.t.Errorf("with a schedule that still says so, but no law, France gets %d", status)
	}
	if _, warnings, code := s.check("policy.yaml"); code != exitDone || !strings.Contains(warnings, "offer the service again: remove the entry") {
		s.t.Errorf("check of a repealed law ends with %d, and warns %q", code, warnings)
	}

	s.revise(storyPolicy + storyDemands("repealed"))
	testkit.Eventually(s.t, "the service is back", func() bool { return s.gets("FR") == http.StatusOK })
	s.frenchNoticeNothing("after the law")
	s.germansNoticeNothing("after the law")
	if phase := s.phase("FR"); phase != "" {
		s.t.Errorf("the metrics still have France, as %s", phase)
	}
	if status := s.request("FR", "GET /.well-known/market-status", "Accept: application/json"); strings.Contains(status.body, "FR") {
		s.t.Errorf("the market status still has France: %s", status.body)
	}
}

// Of FR, and of its territories, by the schedule.
var storyAnnouncement = map[string]string{
	"Deprecation": "@1790812800", // 2026-10-01
	"Sunset":      "Tue, 01 Dec 2026 00:00:00 GMT",
}

const storySunset = `</.well-known/market-status>; rel="sunset"`

// serves makes a request that is to be served, with the end announced.
func (s *storyTest) serves(country, line, phase string) {
	s.t.Helper()
	_, before := s.told(country)
	got := s.request(country, line)
	_, after := s.told(country)
	what := fmt.Sprintf("in %s, %s from %s", phase, line, country)
	if got.status != http.StatusOK || after != before+1 {
		s.t.Errorf("%s is answered with %d", what, got.status)
	}
	if !strings.HasPrefix(line, "HEAD ") {
		s.says(what, got.body, fmt.Sprintf("Market-Jurisdiction: [%q]", country), fmt.Sprintf("Market-Phase: [%q]", phase), `Market-Flags: ["end-to-end-encryption"]`)
	}
	for name, value := range storyAnnouncement {
		s.expectHeader(what, got, name, value)
	}
	s.expectHeader(what, got, "Link", storySunset)
}

// refuses makes a request that is to be refused, in each format.
func (s *storyTest) refuses(country, line, class, phase, since string) {
	s.t.Helper()
	_, before := s.told(country)
	defer func() {
		if _, after := s.told(country); after != before {
			s.t.Errorf("in %s, %s from %s came to the app", phase, line, country)
		}
	}()
	for _, format := range []string{"application/problem+json", "text/html", "text/plain"} {
		got := s.request(country, line, "Accept: "+format, "Accept-Language: en")
		what := fmt.Sprintf("in %s, the refusal of %s from %s as %s", phase, line, country, format)
		if got.status != http.StatusUnavailableForLegalReasons {
			s.t.Errorf("%s has the status %d", what, got.status)
		}
		for name, value := range storyAnnouncement {
			s.expectHeader(what, got, name, value)
		}
		s.expectHeader(what, got, "Link", `<https://example.org/transparency>; rel="blocked-by"`, storySunset)
		s.expectHeader(what, got, "Cache-Control", "no-store")
		s.expectHeader(what, got, "Content-Language", "en")
		s.expectHeader(what, got, "Retry-After")
		s.keepsTheOrderSecret(what, got)
		switch {
		case strings.HasPrefix(line, "HEAD "):
			if got.body != "" {
				s.t.Errorf("%s has a body: %s", what, got.body)
			}
		case format == "application/problem+json":
			s.explains(what, got, country, class, phase, since)
		default:
			s.says(what, got.body, "Access to encrypted private messages", "Sénat", "https://example.org/law",
				"Private messages are end-to-end encrypted.", "https://example.org/appeal", map[string]string{"FR": "France", "GF": "French Guiana"}[country])
		}
	}
}

// explains holds a problem document against what it is to explain.
func (s *storyTest) explains(what string, got response, country, class, phase, since string) {
	s.t.Helper()
	var told map[string]any
	if err := json.Unmarshal([]byte(got.body), &told); err != nil {
		s.t.Errorf("%s: %v", what, err)
		return
	}
	want := map[string]any{
		"type":         "https://github.com/exitgate/exitgate/blob/main/docs/policy.md#" + phase,
		"status":       451.0,
		"jurisdiction": country,
		"phase":        phase,
		"class":        class,
		"since":        datedIn(s.t, country, since),
		"sunset":       datedIn(s.t, country, "2026-12-01T00:00:00Z"),
		"because":      storyCause(s.t, country),
		"guarantees":   []any{"Private messages are end-to-end encrypted."},
		"blocked_by":   "https://example.org/transparency",
		"appeal":       "https://example.org/appeal",
		"export":       "https://example.org/account/export",
	}
	if phase == "closed-to-new" {
		delete(want, "export") // who is new has nothing to take along
	}
	for name := range told {
		if slices.Contains([]string{"title", "detail", "language", "place", "market_status"}, name) {
			delete(told, name)
		}
	}
	if diff := cmp.Diff(want, told); diff != "" {
		s.t.Errorf("%s explains otherwise (-want +got)\n%s", what, diff)
	}
}

// storyCause is what may be told of the demands.
func storyCause(t *testing.T, country string) []any {
	return []any{map[string]any{
		"title":     "Access to encrypted private messages",
		"authority": "Sénat",
		"source":    "https://example.org/law",
		"stage":     "adopted",
		"in-force":  datedIn(t, country, "2026-12-01T00:00:00Z"),
	}}
}

// datedIn returns a moment as it is dated in a country.
func datedIn(t *testing.T, country, moment string) string {
	t.Helper()
	zone, err := time.LoadLocation(map[string]string{"FR": "Europe/Paris", "GF": "America/Cayenne"}[country])
	at, wrong := time.Parse(time.RFC3339, moment)
	if err != nil || wrong != nil {
		t.Fatal(err, wrong)
	}
	return at.In(zone).Format(time.RFC3339)
}

// publishes holds the market status against a phase.
func (s *storyTest) publishes(phase, since string) {
	s.t.Helper()
	got := s.request("DE", "GET /.well-known/market-status", "Accept: application/json")
	s.keepsTheOrderSecret("the market status", got)
	s.keepsTheOrderSecret("the market status", s.request("DE", "GET /.well-known/market-status", "Accept: text/html"))
	var told struct {
		Default string
		Markets []map[string]any
	}
	if err := json.Unmarshal([]byte(got.body), &told); err != nil || len(told.Markets) != 1 || told.Default != "open" {
		s.t.Fatalf("the market status: %v\n%s", err, got.body)
	}
	market := told.Markets[0]
	var next []any
	for _, later := range storyPhases {
		if later.from > since {
			next = append(next, map[string]any{"from": datedIn(s.t, "FR", later.from), "phase": later.name})
		}
	}
	want := map[string]any{"jurisdiction": "FR", "places": []any{"FR", "GF"}, "phase": phase, "since": datedIn(s.t, "FR", since), "sunset": datedIn(s.t, "FR", "2026-12-01T00:00:00Z"), "because": storyCause(s.t, "FR")}
	if next != nil {
		want["schedule"] = next
	}
	if diff := cmp.Diff(want, market); diff != "" {
		s.t.Errorf("the market status in %s (-want +got)\n%s", phase, diff)
	}
}

// phase returns the phase of a jurisdiction by the metrics, "" if they have
// none.
func (s *storyTest) phase(jurisdiction string) string {
	s.t.Helper()
	var in []string
	for _, phase := range []string{"open", "announced", "closed-to-new", "wind-down", "withdrawn"} {
		if s.metric(fmt.Sprintf("exitgate_jurisdiction_phase{jurisdiction=%q,phase=%q}", jurisdiction, phase)) == "1" {
			in = append(in, phase)
		}
	}
	return strings.Join(in, " and ")
}

// warned reports whether the gateway has logged something about the policy.
func (s *storyTest) warned(words string) bool { return len(s.log.Lines(`"level":"WARN"`, words)) > 0 }

// check runs exitgate check on a file of the machine.
func (s *storyTest) check(file string, more ...string) (out, errOut string, code int) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "exitgate", append([]string{"check", s.file(file)}, more...)...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run() // the code says it
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

func (s *storyTest) keepsTheOrderSecret(what string, got response) {
	s.t.Helper()
	whole := fmt.Sprint(got.header) + got.body
	for _, secret := range storySecrets {
		if strings.Contains(whole, secret) {
			s.t.Errorf("%s tells of the order: %s", what, whole)
		}
	}
}
