//go:build integration

package main

import (
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

	"github.com/exitgate/exitgate/internal/testkit"
)

// A steppedGateway is the built program with a wall clock that a test sets while
// the monotonic one goes on, as the system's does (issue 10, B7).
type steppedGateway struct{ *gatewayProcess }

// buildStepped builds the program with a time.Now of that kind.
var buildStepped = sync.OnceValues(func() (program string, err error) {
	to, err := os.MkdirTemp("", "stepped")
	if err != nil {
		return "", err
	}
	for _, args := range [][]string{
		{"../../.ci/clock-overlay", to},
		{"go", "build", "-overlay", filepath.Join(to, "overlay.json"), "-o", filepath.Join(to, "exitgate"), "."},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return filepath.Join(to, "exitgate"), nil
})

func newSteppedGateway(t *testing.T, policy string, now time.Time) *steppedGateway {
	t.Helper()
	program, err := buildStepped()
	if err != nil {
		t.Fatal(err)
	}
	m := &steppedGateway{newGatewayProcess(t, policy)}
	m.program, m.env = program, []string{clockAhead + "=@" + m.file("ahead")}
	m.setClock(now)
	return m
}

// setClock sets the wall clock, which goes on from there.
func (m *steppedGateway) setClock(now time.Time) {
	m.t.Helper()
	m.write("ahead", strconv.FormatInt(int64(now.Sub(time.Now())/time.Second), 10))
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
	m := newSteppedGateway(t, steppedPolicy, exitAt.Add(time.Minute))
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
	for name, before := range map[string]time.Duration{"the clock goes on": 4 * time.Second, "the clock jumps": time.Hour} {
		for round := range 3 {
			t.Run(fmt.Sprintf("%s %d", name, round+1), func(t *testing.T) {
				m := newSteppedGateway(t, steppedPolicy, exitAt.Add(-before))
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
