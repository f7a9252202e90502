package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/exitgate/exitgate/internal/testkit"
)

// Issue 12: a changed exitgate.yaml is taken without a restart, all or nothing.
func TestChangedSettingsAreTakenOrSaidToBeWrong(t *testing.T) {
	t.Parallel()
	m := newGatewayProcess(t, "")
	m.start()
	settings := m.reads(m.file("exitgate.yaml"))
	moved := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Secret", r.Header.Get("Market-Gateway-Secret"))
		w.WriteHeader(http.StatusTeapot)
	}))
	t.Cleanup(moved.Close)
	other := strings.Replace(settings, m.URL, moved.URL, 1)
	secret := m.file("app.secret")
	withSecret := strings.Replace(other, "upstreams:", "secret-file: "+secret+", upstreams:", 1)

	m.write("exitgate.yaml", other)
	testkit.Eventually(t, "the app has moved", func() bool { return m.gets("FR") == http.StatusTeapot })

	for name, step := range map[string]struct{ settings, said string }{
		"half a file":         {other[:strings.Index(other, "upstreams:")+12], "exitgate.yaml:3:"},
		"half a line":         {strings.TrimSuffix(other, "\n"), "cut off"},
		"an unknown key":      {other + "nats: [\"nats://user:s3cret@127.0.0.1\"]\n", "unknown key"},
		"another listener":    {strings.Replace(settings, `admin: {listen: "127.0.0.1:0"}`, "admin: {listen: 127.0.0.1:1}", 1), "admin.listen"},
		"a file that is gone": {"", "exitgate.yaml"},
		"a missing secret":    {strings.Replace(withSecret, moved.URL, m.URL, 1), secret},
	} {
		if step.settings == "" {
			if err := os.Remove(m.file("exitgate.yaml")); err != nil {
				t.Fatal(err)
			}
		} else {
			testkit.WriteFile(t, m.file("exitgate.yaml"), step.settings)
		}
		testkit.Eventually(t, name+" is said to be wrong", func() bool {
			ready := m.getAdmin("/readyz")
			if strings.Contains(ready.body, "s3cret") { // whoever can ask may read it
				t.Fatalf("readiness is %s", ready.body)
			}
			return ready.status == http.StatusOK && strings.Contains(ready.body, `"settings"`) && strings.Contains(ready.body, step.said)
		})
		if status := m.gets("FR"); status != http.StatusTeapot {
			t.Errorf("%s: France gets %d", name, status)
		}
	}
	if value := m.metric("exitgate_config_last_reload_successful"); value != "0" {
		t.Errorf("exitgate_config_last_reload_successful is %s", value)
	}

	// What another file lacked is mended: the settings themselves don't change any more.
	m.write("exitgate.yaml", withSecret)
	testkit.Eventually(t, "the secret is missing", func() bool { return strings.Contains(m.getAdmin("/readyz").body, secret) })
	m.write("app.secret", "a-secret-of-at-least-32-characters-for-the-app\n")
	m.hangUp()
	testkit.Eventually(t, "the app gets the secret", func() bool { return m.request("FR", "GET /").header.Get("X-Secret") != "" })
	testkit.Eventually(t, "nothing is wrong with the settings any more", func() bool {
		return !strings.Contains(m.getAdmin("/readyz").body, `"settings"`) && m.metric("exitgate_config_last_reload_successful") == "1"
	})
}

// hangUp sends SIGHUP.
func (m *gatewayProcess) hangUp() {
	m.t.Helper()
	if err := m.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		m.t.Fatal(err)
	}
}
