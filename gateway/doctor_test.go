package gateway_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway"
	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/gateway/geo/geotest"
)

// examined is when.
var examined = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// examine returns what is found of a check.
func examine(t *testing.T, c config.Config, check string) gateway.Finding {
	t.Helper()
	return examineAt(t, c, check, examined)
}

func examineAt(t *testing.T, c config.Config, check string, at time.Time) (f gateway.Finding) {
	t.Helper()
	for _, f := range gateway.Examine(t.Context(), gateway.Examination{Settings: c, Known: true, Now: func() time.Time { return at }}) {
		if f.Check == check {
			return f
		}
	}
	return f
}

func expectFinding(t *testing.T, got gateway.Finding, want gateway.Severity, says string) {
	t.Helper()
	if got.Status != want || !strings.Contains(got.Detail, says) || (want == gateway.OK) != (got.Mend == "") {
		t.Errorf("it is %+v, want %s that says %q", got, want, says)
	}
}

func settingsOf(t *testing.T, upstream string) config.Config {
	t.Helper()
	c := config.Default()
	c.Data = filepath.Join(t.TempDir(), "data")
	c.Listen.HTTPS, c.Listen.HTTP.Address, c.Admin.Listen = "127.0.0.1:0", "", ""
	c.Apps = []config.App{{Hosts: []string{"example.org"}, Upstreams: []string{upstream}}}
	return c
}

func TestDoctorComparesTheClockWithTheAppsDate(t *testing.T) {
	for name, test := range map[string]struct {
		date string
		want gateway.Severity
		says string
	}{
		"the same":          {"Fri, 27 Nov 2026 12:00:00 GMT", gateway.OK, "less than"},
		"within seconds":    {"Fri, 27 Nov 2026 11:59:57 GMT", gateway.OK, "less than 3s"},
		"the app is behind": {"Fri, 27 Nov 2026 11:50:00 GMT", gateway.Failure, "differs by 9m59s"},
		"the app is ahead":  {"Fri, 27 Nov 2026 12:10:00 GMT", gateway.Failure, "differs by -10m0s"},
		"it is no date":     {"now", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodHead || r.Host != "example.org" {
					t.Errorf("it gets %s of %s", r.Method, r.Host)
				}
				w.Header().Set("Date", test.date)
			}))
			defer app.Close()
			got := examine(t, settingsOf(t, app.URL), "clock against "+app.URL)
			if test.want == "" && got.Status == "" {
				return
			}
			expectFinding(t, got, test.want, test.says)
		})
	}
}

func TestDoctorAsksTheAppByEachKindOfUpstream(t *testing.T) {
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	h2c := httptest.NewUnstartedServer(answer)
	h2c.Config.Protocols = new(http.Protocols)
	h2c.Config.Protocols.SetUnencryptedHTTP2(true)
	h2c.Start()
	defer h2c.Close()
	folder, err := os.MkdirTemp("", "doctor")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	socket := filepath.Join(folder, "app.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	unix := &httptest.Server{Listener: listener, Config: &http.Server{Handler: answer}}
	unix.Start()
	defer unix.Close()
	https := httptest.NewTLSServer(answer)
	defer https.Close()
	gone := httptest.NewServer(answer)
	gone.Close()
	for upstream, want := range map[string]struct {
		status gateway.Severity
		says   string
	}{
		"unix:" + socket: {gateway.OK, "200"},
		strings.Replace(h2c.URL, "http:", "h2c:", 1): {gateway.Warning, "502"},
		https.URL: {gateway.Failure, "certificate"},
		gone.URL:  {gateway.Failure, "connection refused"},
	} {
		expectFinding(t, examine(t, settingsOf(t, upstream), "app "+upstream), want.status, want.says)
	}
}

func TestDoctorSaysWhatToMendOnThisMachine(t *testing.T) {
	c := settingsOf(t, "http://127.0.0.1:9")
	expectFinding(t, examine(t, c, "data folder"), gateway.OK, "isn't there yet")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	expectFinding(t, examine(t, c, "port listen.https"), gateway.OK, "free")
	c.Listen.HTTPS = taken.Addr().String()
	expectFinding(t, examine(t, c, "port listen.https"), gateway.Failure, "taken")
	c.Listen.HTTP3 = 443
	expectFinding(t, examine(t, c, "port listen.http3"), gateway.OK, "over UDP, is free")

	if err := os.Mkdir(c.Data, 0o700); err != nil {
		t.Fatal(err)
	}
	flags := filepath.Join(c.Data, "flags.json")
	secret := filepath.Join(c.Data, "secret")
	for _, file := range []string{flags, secret} {
		if err := os.WriteFile(file, []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.Apps[0].SecretFile = secret
	expectFinding(t, examine(t, c, "data folder"), gateway.OK, "closed")
	expectFinding(t, examine(t, c, "secret files"), gateway.OK, "1 of them")
	for _, mode := range []struct {
		file        string
		mode        os.FileMode
		check, says string
		want        gateway.Severity
	}{
		{c.Data, 0o755, "data folder", "look into", gateway.Warning},
		{c.Data, 0o777, "data folder", "write to", gateway.Failure},
		{flags, 0o644, "data file " + flags, "read or change", gateway.Failure},
		{secret, 0o620, "secret file " + secret, "read or change", gateway.Failure},
	} {
		if err := os.Chmod(mode.file, mode.mode); err != nil {
			t.Fatal(err)
		}
		expectFinding(t, examine(t, c, mode.check), mode.want, mode.says)
	}
}

func TestDoctorSaysHowOldDatabasesAre(t *testing.T) {
	file := geotest.File(t, geotest.Country(t, geotest.Networks{"2.0.0.0/16": "FR"})) // of 2026-11-01
	c := settingsOf(t, "http://127.0.0.1:9")
	c.Geo.Databases = []string{file}
	expectFinding(t, examine(t, c, "database "+file), gateway.OK, "built 2026-11-01")
	expectFinding(t, examine(t, c, "databases"), gateway.OK, "1 places apart, and subdivisions in 0 countries")
	for at, want := range map[time.Time]struct {
		status gateway.Severity
		says   string
	}{
		time.Date(2026, 12, 15, 0, 0, 0, 0, time.UTC): {gateway.Warning, "44 days ago"},
		time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC):   {gateway.Warning, "older than geo.max-age"},
	} {
		expectFinding(t, examineAt(t, c, "database "+file, at), want.status, want.says)
	}
	c.Geo.Databases = nil
	c.Geo.MaxAge = 0
	expectFinding(t, examine(t, c, "database embedded"), gateway.Warning, "for trying out")
}
