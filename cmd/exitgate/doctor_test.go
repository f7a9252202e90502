package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/exitgate/exitgate/gateway"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
)

// examine runs doctor with the settings of a gateway as it listens, and returns what it finds
// by check.
func (g *ledgerGateway) examine() map[string]gateway.Finding {
	g.t.Helper()
	text, err := os.ReadFile(g.file("exitgate.yaml"))
	if err != nil {
		g.t.Fatal(err)
	}
	settings := strings.Replace(string(text), `https: "127.0.0.1:0"`, `https: "`+g.https+`"`, 1)
	g.write("doctor.yaml", strings.Replace(settings, `admin: {listen: "127.0.0.1:0"}`, `admin: {listen: "`+g.admin+`"}`, 1))
	result := g.runCommand("doctor", "--config", g.file("doctor.yaml"), "--json")
	var d diagnosis
	if err := json.Unmarshal([]byte(result.out), &d); err != nil {
		g.t.Fatalf("%v: %s", err, result.text())
	}
	found, failed := make(map[string]gateway.Finding), false
	for _, f := range d.Findings {
		found[f.Check] = f
		failed = failed || f.Status == gateway.Failure
		if f.Status != gateway.OK && f.Mend == "" && f.Check != "clients" && !strings.HasPrefix(f.Check, "geo ") {
			g.t.Errorf("of %s it doesn't say what to mend: %+v", f.Check, f)
		}
	}
	if failed == d.OK || d.OK != (result.code == exitDone) {
		g.t.Errorf("it ends with %d, and says %t: %s", result.code, d.OK, result.text())
	}
	return found
}

func TestDoctorLooksAtTheGatewayItsLedgerItsMachineAndTheApp(t *testing.T) {
	t.Parallel()
	m := newLedgerGateway(t)
	m.restart()
	m.setPhase("FR", policy.Withdrawn, "by law")
	app := "app " + m.recorder.URL
	expect := func(when string, want map[string]gateway.Severity) map[string]gateway.Finding {
		t.Helper()
		found := m.examine()
		for check, status := range want {
			if found[check].Status != status {
				t.Errorf("%s, %s is %+v, want %s", when, check, found[check], status)
			}
		}
		return found
	}
	expect("while all is well", map[string]gateway.Severity{
		"settings": gateway.OK, "gateway": gateway.OK, "policy": gateway.OK, "clients": gateway.OK, "ledger": gateway.OK, "ledger verification": gateway.OK,
		"port listen.https": gateway.OK, "port admin.listen": gateway.OK, app: gateway.OK, "clock against " + m.recorder.URL: gateway.OK, "certificate *": gateway.Warning,
		"trusted proxies": gateway.OK, "data folder": gateway.OK, "disk": gateway.OK,
	})
	if out := m.runCommand("doctor").out; !strings.Contains(out, "warning  settings") || !strings.Contains(out, "mend: name the file") || !strings.Contains(out, "ok       ledger verification") {
		t.Errorf("for people, without settings, it says\n%s", out)
	}

	m.recorder.Close()
	if err := os.Chmod(m.data("records.log"), 0o644); err != nil {
		t.Fatal(err)
	}
	expect("without the app, and with a file that others may read", map[string]gateway.Severity{
		app: gateway.Failure, "data file " + m.data("records.log"): gateway.Failure, "gateway": gateway.OK,
	})

	m.stop()
	expect("while it doesn't run", map[string]gateway.Severity{
		"gateway": gateway.Failure, "port listen.https": gateway.OK, "ledger": gateway.OK,
	})
	records, err := os.ReadFile(m.data("records.log"))
	if err != nil {
		t.Fatal(err)
	}
	testkit.ReplaceFile(t, m.data("records.log"), strings.Replace(string(records), "There was no policy", "There was some policy", 1))
	m.write("exitgate.yaml", "listen: {https: 127.0.0.1:0}\napps: nonsense\n")
	expect("with records that were changed, and settings that are wrong", map[string]gateway.Severity{
		"ledger": gateway.Failure, "settings": gateway.Failure,
	})
}

func TestDoctorSaysOfAMissingFileOfSettingsThatItIs(t *testing.T) {
	t.Parallel()
	m := newLedgerGateway(t)
	result := m.runCommand("doctor", "--config", m.file("none.yaml"))
	if result.code != exitFailed || !strings.Contains(result.out, "no such file") || !strings.Contains(result.out, "failure  gateway") {
		t.Errorf("it ends with %d and says %s", result.code, result.text())
	}
	if result := m.runCommand("doctor", "--config", "a", "--api", "https://example.org"); result.code != exitUsage {
		t.Errorf("with another machine's API it ends with %d and says %s", result.code, result.text())
	}
}
