//go:build integration

package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/ledger/ledgertest"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
)

// A steppedGateway is the built program with a wall clock that a test sets while
// the monotonic one goes on, as the system's does (issue 10, B7).
type steppedGateway struct{ *gatewayProcess }

// oneBuild has tests build one after the other: all but the first find what they would
// compile, all of the program and the standard library, in the build cache.
var oneBuild sync.Mutex

// buildStepped builds the program with a time.Now of that kind. As time.Now is in the
// standard library, all is compiled anew: .ci/run says where one is, of what it compiles
// for other tests.
func buildStepped(t *testing.T) (program string) {
	t.Helper()
	if made := os.Getenv("EXITGATE_TEST_STEPPED"); made != "" {
		return made
	}
	oneBuild.Lock()
	defer oneBuild.Unlock()
	folder := t.TempDir()
	program = filepath.Join(folder, "exitgate")
	for _, args := range [][]string{
		{"../../.ci/clock-overlay", folder},
		{"go", "build", "-overlay", filepath.Join(folder, "overlay.json"), "-o", program, "."},
	} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	return program
}

func newSteppedGateway(t *testing.T, program, policy string, now time.Time) *steppedGateway {
	t.Helper()
	m := stepped(newGatewayProcess(t, policy), program)
	m.setClock(now)
	return m
}

// stepped gives a gateway that hasn't started a clock that steps.
func stepped(g *gatewayProcess, program string) *steppedGateway {
	g.program, g.env = program, []string{clockAhead + "=@" + g.file("ahead")}
	return &steppedGateway{g}
}

// setClock sets the wall clock, which goes on from there.
func (m *steppedGateway) setClock(now time.Time) {
	m.t.Helper()
	m.write("ahead", strconv.FormatInt(int64(time.Until(now)/time.Second), 10))
}

// begin starts the gateway, for the test to kill.
func (m *steppedGateway) begin() {
	m.t.Helper()
	m.t.Cleanup(func() {
		m.kill()
		if m.t.Failed() {
			m.t.Logf("the log of the gateway:\n%s", m.log)
		}
	})
	if !m.run() {
		m.t.Fatalf("the gateway didn't start:\n%s", m.log)
	}
}

func (m *steppedGateway) expect(when, country string, want int) {
	m.t.Helper()
	if got := m.gets(country); got != want {
		m.t.Errorf("%s, %s gets %d, want %d\n%s", when, country, got, want, m.log)
	}
}

// exitAt is when France is left.
var exitAt = time.Date(2030, 6, 1, 0, 0, 0, 0, time.UTC)

const steppedPolicy = "jurisdictions:\n  FR: {schedule: [{from: 2030-06-01T00:00:00Z, phase: withdrawn}]}\n"

func TestAWallClockThatIsSetBackOpensNothing(t *testing.T) {
	t.Parallel()
	m := newSteppedGateway(t, buildStepped(t), steppedPolicy, exitAt.Add(time.Minute))
	m.begin()
	m.expect("after the step", "FR", 451)
	m.setClock(exitAt.Add(-time.Hour))
	m.expect("with the clock an hour back", "FR", 451)
	applied := 1
	for _, change := range []struct{ name, policy string }{
		{"a comment", "# looked through\n" + steppedPolicy},
		{"an unrelated entry", steppedPolicy + "  DE: withdrawn\n"},
		{"a flag", steppedPolicy + "flags: {group-size: {value: 3}}\n"},
	} {
		m.revise(change.policy)
		applied++
		testkit.Eventually(t, change.name+" is applied", func() bool { return strings.Count(m.log.String(), `"policy applied"`) == applied })
		m.expect("after "+change.name, "FR", 451)
	}
	m.kill()
	m.revise("# changed while it was stopped\n" + steppedPolicy)
	m.begin()
	m.expect("after a start with another text", "FR", 451)
	m.revise("jurisdictions: {FR: open}\n")
	testkit.Eventually(t, "a policy opens France", func() bool { return m.gets("FR") == http.StatusOK })
}

// TestAStepIsKeptByWhoIsKilledAtTheFirstRequestByIt kills the gateway as soon as
// one client has been refused, and starts it again with the clock an hour back.
func TestAStepIsKeptByWhoIsKilledAtTheFirstRequestByIt(t *testing.T) {
	t.Parallel()
	program := buildStepped(t)
	for name, before := range map[string]time.Duration{"the clock goes on": 4 * time.Second, "the clock jumps": time.Hour} {
		for round := range 3 {
			t.Run(fmt.Sprintf("%s %d", name, round+1), func(t *testing.T) {
				m := newSteppedGateway(t, program, steppedPolicy, exitAt.Add(-before))
				m.begin()
				m.expect("before the step", "FR", 200)
				if before == time.Hour {
					m.setClock(exitAt.Add(time.Second))
				}
				testkit.Eventually(t, "France is refused", func() bool { return m.gets("FR") == http.StatusUnavailableForLegalReasons })
				m.kill()
				m.setClock(exitAt.Add(-time.Hour))
				m.begin()
				m.expect("after a kill, with the clock an hour back", "FR", 451)
			})
		}
	}
}

// TestAGatewayWhoseClockIsAheadSaysSoAndMovesNoOther has two gateways share a
// ledger in a NATS server, and sets the clock of one an hour ahead.
func TestAGatewayWhoseClockIsAheadSaysSoAndMovesNoOther(t *testing.T) {
	t.Parallel()
	source := fmt.Sprintf("{ledger: {nats: [%q], replicas: 1}}", ledgertest.StartOn(t, t.TempDir()).URL)
	fast, right := newLedgerGateway(t), newLedgerGateway(t)
	fast.source, right.source = source, source
	clock := stepped(fast.gatewayProcess, buildStepped(t))
	clock.setClock(time.Now())
	clock.begin()
	right.restart()
	step := time.Now().Add(30 * time.Minute).UTC().Format(time.RFC3339)
	right.apply("version: 1\njurisdictions:\n  FR: withdrawn\n  ES: {schedule: [{from: "+step+", phase: withdrawn}]}\n", "an exit")
	testkit.Eventually(t, "both know it", func() bool { return fast.gets("FR") == 451 && right.gets("FR") == 451 })

	clock.setClock(time.Now().Add(time.Hour))
	var offset float64
	testkit.Eventually(t, "the gateway knows that its clock is off", func() bool {
		offset, _ = strconv.ParseFloat(fast.metric("exitgate_clock_offset_seconds"), 64)
		return offset > 60
	})
	if offset < 3590 || offset > 3610 {
		t.Errorf("its clock is said to be off by %v s", offset)
	}
	if ready := fast.getAdmin("/readyz"); ready.status != http.StatusOK || !strings.Contains(ready.body, "ahead of that of the NATS servers") {
		t.Errorf("it is said to be %d: %s", ready.status, ready.body)
	}
	if !strings.Contains(fast.log.String(), `"clock off`) {
		t.Error("it isn't logged")
	}
	opening := toggle{country: "FR", phase: policy.Open, because: "by mistake", key: "k"}
	err := fast.planToggle(&opening)
	if err == nil {
		_, err = fast.toggleMarket(opening)
	}
	if problem := new(api.Problem); !errors.As(err, &problem) || problem.Code != "ledger-unavailable" {
		t.Errorf("an opening there: %v", err)
	}
	fast.setPhase("DE", policy.Withdrawn, "at once")
	testkit.Eventually(t, "the withdrawal is everywhere", func() bool { return fast.gets("DE") == 451 && right.gets("DE") == 451 })
	if got := right.gets("ES"); got != http.StatusOK {
		t.Errorf("at the other gateway, Spain gets %d before its time", got)
	}
	history := right.history()
	if written := history[len(history)-1].Time; time.Since(written).Abs() > 10*time.Minute {
		t.Errorf("it is dated %s", written)
	}

	clock.setClock(time.Now())
	testkit.Eventually(t, "changes can be made again", func() bool {
		opening := toggle{country: "FR", phase: policy.Open, because: "again", key: "again"}
		err := fast.planToggle(&opening)
		if err == nil {
			_, err = fast.toggleMarket(opening)
		}
		return err == nil
	})
}
