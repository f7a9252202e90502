package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/internal/testkit"
)

func TestASettingThatChangesOpensNoMarket(t *testing.T) {
	data := t.TempDir()
	in := func(c *config.Config) { c.Data = data }

	first := start(t, setup{configure: in})
	if a := first.request(first.client(1), "/", mississippi); a.status != 200 {
		t.Fatalf("by the ledger it gets %d", a.status)
	}
	first.stop()

	second := start(t, setup{configure: in, policy: twoRefused})
	if a := second.request(second.client(1), "/", mississippi); a.status != 451 {
		t.Fatalf("by the file it gets %d", a.status)
	}
	noted := filepath.Join(data, "schedule.json")
	testkit.Eventually(t, "where the policy is from is noted", func() bool {
		text, _ := os.ReadFile(noted)
		return strings.Contains(string(text), second.policy)
	})
	second.stop()

	for range 2 {
		_, err := tryStart(t, setup{configure: in})
		want := "this gateway last used " + second.policy + ", and revision 1 of the ledger would open what that withdrew: " +
			"go on with the file; or, where no traffic goes, remove " + noted + ", start the gateway and exitgate apply " + second.policy
		if err == nil || err.Error() != want {
			t.Fatalf("then it says %v\nwant %s", err, want)
		}
	}

	if err := os.Remove(noted); err != nil {
		t.Fatal(err)
	}
	third := start(t, setup{configure: in})
	if a := third.request(third.client(1), "/", mississippi); a.status != 200 {
		t.Errorf("by the ledger again it gets %d", a.status)
	}
}

// operate asks the API over the gate's socket, as root would, and reads the
// answer, which must have a status.
func (g *gate) operate(status int, method, path, body string, answer any, fields ...string) {
	g.t.Helper()
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", g.at.Socket)
		},
	}
	r, err := http.NewRequest(method, "http://gate"+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for _, field := range fields {
		name, value, _ := strings.Cut(field, ": ")
		r.Header.Set(name, value)
	}
	res, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	a, err := read(res)
	if err == nil && a.status == status {
		err = json.Unmarshal([]byte(a.body), answer)
	}
	if err != nil || a.status != status {
		g.t.Fatalf("%s %s: %d %v\n%s", method, path, a.status, err, a.body)
	}
}

// proposes plans a change on the gate and proposes it.
func (g *gate) proposes(change string) (made api.Change) {
	g.t.Helper()
	var plan api.Plan
	g.operate(200, "POST", "/v1/plan", "{"+change+"}", &plan)
	body := fmt.Sprintf(`{%s, "because": "A test.", "plan": %q}`, change, plan.Plan.Hash)
	g.operate(201, "POST", "/v1/changes", body, &made, fmt.Sprintf(`If-Match: "%d"`, plan.Revision))
	return made
}

func TestAnEmergencyThatNobodySignsIsOverdueAfterADayAndOpensNothing(t *testing.T) {
	c := testkit.NewClock(time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC))
	g := start(t, setup{now: c.Now, configure: func(c *config.Config) { c.Data = dataFolder(t) }})
	g.proposes(`"policy": "version: 1\napprovals: {withdraw: 2}\n"`)
	made := g.proposes(`"set": {"jurisdiction": "US-MS", "phase": "withdrawn"}, "emergency": true`)
	if made.InForce == nil || !made.InForce.Emergency {
		t.Fatalf("it isn't in force as an emergency: %+v", made)
	}
	name := fmt.Sprintf("emergency %d", made.InForce.Number)
	shows := func(what string, unsigned, due float64, overdue bool) {
		t.Helper()
		if a := g.request(g.client(1), "/", mississippi); a.status != 451 {
			t.Errorf("%s a client there gets %d", what, a.status)
		}
		if n := g.metric("exitgate_emergencies_unsigned"); n != unsigned {
			t.Errorf("%s %v emergencies are unsigned", what, n)
		}
		if at := g.metric("exitgate_emergency_signature_due_timestamp_seconds"); at != due {
			t.Errorf("%s the signature is due at %v, want %v", what, at, due)
		}
		status, checks := g.ready()
		if _, told := checks[name]; told != overdue || status != 200 {
			t.Errorf("%s readiness is %d, with %v", what, status, checks)
		}
	}
	due := float64(c.Now().Add(24 * time.Hour).Unix())
	shows("at once", 1, due, false)
	c.Set(c.Now().Add(25 * time.Hour))
	shows("a day later", 1, due, true)

	var problem api.Problem
	g.operate(403, "POST", fmt.Sprintf("/v1/changes/%d/approvals", made.InForce.Number), fmt.Sprintf(`{"plan": %q}`, made.SHA256), &problem)
	if problem.Code != "four-eyes" {
		t.Errorf("who made it can't sign it because of %q", problem.Code)
	}
	shows("and then", 1, due, true)
}

func TestAnEmergencyThatItsAuthorTookBackIsMeasured(t *testing.T) {
	g := start(t, setup{configure: func(c *config.Config) { c.Data = dataFolder(t) }})
	first := g.proposes(`"policy": "version: 1\napprovals: {open: 1, withdraw: 1}\n"`)
	g.proposes(`"set": {"jurisdiction": "US-MS", "phase": "withdrawn"}, "emergency": true`)
	if n := g.metric("exitgate_emergencies_taken_back_unsigned"); n != 0 {
		t.Errorf("%v are taken back before one is", n)
	}
	g.proposes(fmt.Sprintf(`"rollback": %d, "emergency": true`, first.InForce.Number))
	if back, all := g.metric("exitgate_emergencies_taken_back_unsigned"), g.metric("exitgate_emergencies_unsigned"); back != 1 || all != 2 {
		t.Errorf("%v of %v are taken back, want 1 of 2", back, all)
	}
	if a := g.request(g.client(1), "/", mississippi); a.status != 200 {
		t.Errorf("a client there gets %d", a.status)
	}
}

func TestWhenTheFirstChangeExpiresIsMeasured(t *testing.T) {
	c := testkit.NewClock(time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC))
	g := start(t, setup{now: c.Now, configure: func(c *config.Config) { c.Data = dataFolder(t) }})
	g.proposes(`"policy": "version: 1\napprovals: {withdraw: 1, expire: 48h}\n"`)
	expires := func() float64 { return g.metric("exitgate_change_expiry_timestamp_seconds") - float64(c.Now().Unix()) }
	g.proposes(`"set": {"jurisdiction": "US-MS", "phase": "withdrawn"}`)
	c.Set(c.Now().Add(time.Hour))
	g.proposes(`"set": {"jurisdiction": "US-CA", "phase": "withdrawn"}`)
	if got, want := expires(), (47 * time.Hour).Seconds(); got != want {
		t.Errorf("the first of two expires in %v s, want %v", got, want)
	}
	c.Set(c.Now().Add(47 * time.Hour))
	if got, want := expires(), time.Hour.Seconds(); got != want {
		t.Errorf("when it has, the other one does in %v s, want %v", got, want)
	}
}
