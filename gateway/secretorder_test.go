package gateway_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/google/go-cmp/cmp"
)

// Issue 10, C13; issue 11, 1: of an exit that isn't announced yet, nobody gets a byte
// to see, whoever asks for what and wherever.
func TestAnExitThatIsNotAnnouncedChangesNoByte(t *testing.T) {
	const secret = `  FR:
    because: [order]
    territories: none
    schedule:
      - {from: 2126-12-01T00:00:00Z, phase: announced}
      - {from: 2127-03-01T00:00:00Z, phase: withdrawn}
`
	const toBe = ": {schedule: [{from: 2026-01-01T00:00:00Z, phase: announced}, {from: 2126-06-01T00:00:00Z, phase: withdrawn}]}\n"
	for _, test := range []struct{ name, others, instead string }{
		{"nothing else is restricted", "", ""},
		{"another market is withdrawn", "  CA: withdrawn\n", ""},
		{"another is going to be", "  CA" + toBe, ""},
		{"the markets around it are", "  EU" + toBe, "  FR: open\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			const head = "version: 1\nroutes: {sign-up: [POST /signup]}\nguarantees: {e2ee: {require: true}}\njurisdictions:\n  private: open\n"
			const order = "demands: {order: {jurisdiction: FR, title: Order, stage: adopted, in-force: 2127-03-01T00:00:00Z, disclose: false, requires: {e2ee: false}}}\n"
			clock := func() time.Time { return time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC) } // the status says it
			without := start(t, setup{now: clock, policy: head + test.others + test.instead, handler: cacheable})
			with := start(t, setup{now: clock, policy: head + test.others + secret + order, handler: cacheable})
			for _, line := range []string{
				"/", "/?Cache-Control=public,+max-age=31536000", "HEAD /?Cache-Control=max-age=31536000,+immutable", "/?Cache-Control=public", "/?Cdn-Cache-Control=max-age=31536000",
				"POST /signup?Cache-Control=max-age=31536000", "/.well-known/market-status", "/robots.txt",
			} {
				for _, from := range []string{france, germany, america} {
					for _, accept := range []string{"application/json", "text/html"} {
						ask := func(g *gate) answer {
							method, target, ok := strings.Cut(line, " ")
							if !ok {
								method, target = http.MethodGet, line
							}
							r, _ := http.NewRequest(method, "https://"+host+target, nil)
							r.Header = http.Header{"X-Forwarded-For": {from}, "Accept": {accept}}
							res, err := g.client(2).Do(r)
							if err != nil {
								t.Fatal(err)
							}
							got, err := read(res)
							if err != nil {
								t.Fatal(err)
							}
							got.header.Del("Date")
							got.header.Del("X-Request-Id") // random
							return got
						}
						if diff := cmp.Diff(ask(without), ask(with), cmp.AllowUnexported(answer{})); diff != "" {
							t.Errorf("%s from %s, which accepts %s, without the order and with it:\n%s", line, from, accept, diff)
						}
					}
				}
			}
		})
	}
}

// Issue 11, 2: where the demand may not be named, a refusal is, to the byte, that of a
// market from which the service was withdrawn without one.
func TestADemandThatMayNotBeNamedChangesNoByteOfARefusal(t *testing.T) {
	const head = "version: 1\nguarantees: {e2ee: {require: true, statement: Messages are encrypted.}}\njurisdictions:\n"
	clock := func() time.Time { return time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC) }
	for _, phase := range []string{"withdrawn", "wind-down"} {
		stage := map[string]string{"withdrawn": "in-force", "wind-down": "proposed"}[phase]
		without := start(t, setup{now: clock, policy: head + "  FR: {phase: " + phase + ", territories: none}\n"})
		with := start(t, setup{now: clock, policy: head + "  FR: {phase: " + phase + ", territories: none, because: [order]}\n" +
			"demands: {order: {jurisdiction: FR, title: Order, authority: Court, stage: " + stage + ", disclose: false, requires: {e2ee: false}}}\n"})
		for _, accept := range []string{"text/html", "application/json", "text/plain", "image/png"} {
			for _, contentType := range []string{"", "application/grpc"} {
				ask := func(g *gate) answer {
					r, _ := http.NewRequest(http.MethodGet, "https://"+host+"/", nil)
					r.Header = http.Header{"X-Forwarded-For": {france}, "Accept": {accept}, "Content-Type": {contentType}}
					res, err := g.client(2).Do(r)
					if err != nil {
						t.Fatal(err)
					}
					got, err := read(res)
					if err != nil {
						t.Fatal(err)
					}
					got.header.Del("Date")
					got.header.Del("X-Request-Id") // random
					return got
				}
				if diff := cmp.Diff(ask(without), ask(with), cmp.AllowUnexported(answer{})); diff != "" {
					t.Errorf("%s %s, without the demand and with it:\n%s", accept, contentType, diff)
				}
			}
		}
	}
}

// When a demand comes into force that may not be disclosed is nowhere to be seen, nor is what
// it says when the policy is wrong.
func TestNothingTellsWhenASecretOrderBinds(t *testing.T) {
	const order = "demands: {order: {jurisdiction: FR, territories: none, title: TOPSECRET, stage: adopted, in-force: 2127-03-03T00:00:00Z, disclose: false, requires: {e2ee: false}}}\n"
	const policy = "version: 1\nguarantees: {e2ee: {require: true}}\njurisdictions: {FR: {territories: none, phase: withdrawn, because: [order]}}\n" + order
	g := start(t, setup{policy: policy})
	if _, checks := g.ready(); strings.Contains(checks["policy"].Detail, "2127") {
		t.Errorf("/readyz says %+v", checks["policy"])
	}
	if n := g.metric("exitgate_next_transition_timestamp_seconds"); n != 0 {
		t.Errorf("the next transition is at %v", n)
	}
	for _, jurisdiction := range []string{"FR", "DE"} {
		var x map[string]any
		g.operate(200, "POST", "/v1/explain", `{"jurisdiction": "`+jurisdiction+`"}`, &x)
		if x["next"] != nil {
			t.Errorf("in %s the next change is said to be %v", jurisdiction, x["next"])
		}
	}
	testkit.ReplaceFile(t, g.policy, strings.Replace(policy, "phase: withdrawn", "phase: open", 1))
	testkit.Eventually(t, "the policy is wrong", func() bool {
		_, checks := g.ready()
		return !checks["policy"].OK && !strings.Contains(checks["policy"].Detail, "TOPSECRET") && !strings.Contains(checks["policy"].Detail, "order")
	})
}
