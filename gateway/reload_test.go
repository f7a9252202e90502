package gateway_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/gateway/geo/geotest"
	"github.com/exitgate/exitgate/internal/testkit"
)

func readFile(file string) (string, error) {
	text, err := os.ReadFile(file)
	return string(text), err
}

func contains(text, part string) bool { return strings.Contains(text, part) }

// A clientLoad asks for the front page from France, Mississippi, Germany and
// California, over and over, and takes note of what is wrong.
type clientLoad struct {
	ended            chan struct{}
	load             sync.WaitGroup
	requests, failed atomic.Int64
	wrong            atomic.Pointer[string]
}

// startLoad starts so many clients. The policy of g must refuse the first two
// places and no other.
func startLoad(g *gate, clients int) *clientLoad {
	c := &clientLoad{ended: make(chan struct{})}
	note := func(what string) {
		c.failed.Add(1)
		c.wrong.CompareAndSwap(nil, &what)
	}
	for i := range clients {
		client := g.client(1 + i%2)
		c.load.Go(func() {
			for {
				for from, want := range map[string]int{france: 451, mississippi: 451, germany: 200, california: 200} {
					select {
					case <-c.ended:
						return
					default:
					}
					c.requests.Add(1)
					switch a, err := g.try(client, "/", from); {
					case err != nil:
						note(err.Error())
					case a.status != want:
						note("from " + from + " it gets another answer than before")
					}
				}
			}
		})
	}
	return c
}

// end ends the load and fails the test if anything was wrong.
func (c *clientLoad) end(t *testing.T) {
	t.Helper()
	close(c.ended)
	c.load.Wait()
	if n := c.failed.Load(); n > 0 {
		t.Errorf("%d of %d requests failed: %s", n, c.requests.Load(), *c.wrong.Load())
	}
	if c.requests.Load() == 0 {
		t.Error("there was no load")
	}
}

const twoRefused = "version: 1\njurisdictions: {FR: withdrawn, US-MS: withdrawn}\n"

// heapInUse returns how much memory is in use after everything has been collected.
func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestADatabaseThatIsReplacedAHundredTimesUnderLoadChangesNoDecision(t *testing.T) {
	other := geotest.Networks{"192.0.2.0/24": "JP"} // and what the tests ask for
	for network, place := range world {
		other[network] = place
	}
	// Each good one is another content, so that each is taken up.
	good := func(i int) []byte {
		networks := world
		if i%4 == 0 {
			networks = other
		}
		return geotest.City(t, networks, geotest.Built(geotest.Build().Add(time.Duration(i)*time.Minute)))
	}
	bad := func(i int) []byte {
		whole := good(i)
		switch i / 10 % 5 {
		case 0:
			return nil
		case 1:
			return whole[:len(whole)/2]
		case 2:
			return bytes.Repeat([]byte("garbage "), 4096)
		case 3:
			return geotest.ASN(t, geotest.Networks{"2.0.0.0/8": "AS3215 Orange"})
		}
		return whole[:len(whole)-1]
	}
	g := start(t, setup{policy: twoRefused})
	g.app.keep.Store(false)
	failures := `exitgate_geo_database_reload_failures_total{database="` + g.geo + `"}`
	if n := g.metric(failures); n != 0 {
		t.Fatalf("%v failures before the first", n)
	}
	load := startLoad(g, 8)
	testkit.Eventually(t, "the load begins", func() bool { return load.requests.Load() > 100 })
	goroutines, heap := runtime.NumGoroutine(), heapInUse()

	replaced, refused := 0, 0
	for i := 1; i <= 100; i++ {
		content, what := good(i), "geo database replaced"
		count := &replaced
		if i%2 == 1 {
			content, what, count = bad(i), "geo database invalid", &refused
		}
		// By renaming and in place, in turn, good and bad ones each.
		if i/2%2 == 0 {
			geotest.Replace(t, g.geo, content)
		} else if err := os.WriteFile(g.geo, content, 0o644); err != nil {
			t.Fatal(err)
		}
		if i%10 != 1 && i%10 != 2 {
			continue // the next comes before this one is taken up, or after
		}
		*count++
		build := float64(geotest.Build().Add(time.Duration(i) * time.Minute).Unix())
		testkit.Eventually(t, what, func() bool {
			_, checks := g.ready()
			if i%2 == 1 {
				return !checks["geo "+g.geo].OK
			}
			return checks["geo "+g.geo].OK && g.metric(`exitgate_geo_database_build_timestamp_seconds{database="`+g.geo+`"}`) == build
		})
	}
	load.end(t)
	if n := g.metric(failures); n < float64(refused) {
		t.Errorf("%v failures are counted, of at least %d", n, refused)
	}
	if len(g.log.Lines("level=ERROR", "geo database invalid", g.geo)) < refused {
		t.Error("not all of them are in the log")
	}
	if n := runtime.NumGoroutine(); n > goroutines+10 {
		t.Errorf("there were %d goroutines, and are %d", goroutines, n)
	}
	if now := heapInUse(); now > heap+8<<20 {
		t.Errorf("%d bytes were in use, and are %d", heap, now)
	}
	t.Logf("%d requests; heap %d KB before, %d KB after", load.requests.Load(), heap>>10, heapInUse()>>10)
}

func TestADatabaseThatIsWrongIsSaidToBeAndOneThatIsGoodAgainToo(t *testing.T) {
	g := start(t, setup{policy: twoRefused})
	name := "geo " + g.geo
	if _, checks := g.ready(); !checks[name].OK || !contains(checks[name].Detail, "GeoLite2-City, built 2026-11-01") {
		t.Fatalf("at first: %+v", checks)
	}
	os.Remove(g.geo)
	testkit.Eventually(t, "it is said to be missing", func() bool {
		status, checks := g.ready()
		if status != 200 {
			t.Fatalf("the gate isn't ready any more: %d", status)
		}
		c := checks[name]
		return !c.OK && c.Since != nil && contains(c.Detail, syscall.ENOENT.Error()) && contains(c.Detail, "the one built 2026-11-01 stays in use")
	})
	if a := g.request(g.client(1), "/", mississippi); a.status != 451 {
		t.Errorf("meanwhile it gets %d", a.status)
	}
	geotest.Replace(t, g.geo, worldDatabase(t))
	testkit.Eventually(t, "all is well", func() bool { _, checks := g.ready(); return checks[name].OK })
}

// policyFails waits until the policy is said to be wrong in /readyz with these
// words, and checks that it is counted and that the one before is in use.
func (g *gate) policyFails(t *testing.T, words string) {
	t.Helper()
	testkit.Eventually(t, "the policy is said to be wrong: "+words, func() bool {
		status, checks := g.ready()
		c := checks["policy"]
		return status == 200 && !c.OK && c.Since != nil && contains(c.Detail, words) && contains(c.Detail, "stays in use")
	})
	if n := g.metric("exitgate_policy_last_apply_successful"); n != 0 {
		t.Error("the metric says that it was applied")
	}
	if g.metric("exitgate_policy_apply_failures_total") == 0 {
		t.Error("it isn't counted")
	}
	if len(g.log.Lines("level=ERROR", "the policy is wrong; the previous one stays in use", g.policy)) == 0 {
		t.Error("it isn't in the log")
	}
}

// policyHolds waits until the policy in the file is the one in use.
func (g *gate) policyHolds(t *testing.T) {
	t.Helper()
	testkit.Eventually(t, "the policy is in use", func() bool {
		_, checks := g.ready()
		return checks["policy"].OK && g.metric("exitgate_policy_last_apply_successful") == 1
	})
}

func TestAnEditOfThePolicyIsTakenUpHoweverItIsMade(t *testing.T) {
	const open, closed = "version: 1\njurisdictions: {US-MS: withdrawn}\n", "version: 1\njurisdictions: {FR: withdrawn, US-MS: withdrawn}\n"
	for name, edit := range map[string]func(t *testing.T, file, text string){
		"renamed over it":  func(t *testing.T, file, text string) { testkit.ReplaceFile(t, file, text) },
		"written in place": func(t *testing.T, file, text string) { testkit.WriteFile(t, file, text) },
		"written in pieces": func(t *testing.T, file, text string) {
			f, err := os.Create(file)
			if err != nil {
				t.Fatal(err)
			}
			for i := range len(text) {
				f.WriteString(text[i : i+1])
			}
			f.Close()
		},
		"removed and made anew": func(t *testing.T, file, text string) {
			os.Remove(file)
			testkit.WriteFile(t, file, text)
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, setup{policy: open})
			c := g.client(2)
			for range 3 {
				edit(t, g.policy, closed)
				testkit.Eventually(t, "France is refused", func() bool { return g.request(c, "/", france).status == 451 })
				edit(t, g.policy, open)
				testkit.Eventually(t, "France is served", func() bool { return g.request(c, "/", france).status == 200 })
			}
			// Of the others a busy machine may see a part, and says so.
			if n := g.sum("exitgate_policy_apply_failures_total"); name == "renamed over it" && n != 0 {
				t.Errorf("%v edits are said to have been wrong", n)
			}
		})
	}
}

func TestAPolicyMountedByKubernetesIsTakenUp(t *testing.T) {
	// A volume is a folder in which ..data is a link to the folder of the
	// version, and the files are links into ..data.
	volume := t.TempDir()
	version := func(name, text string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(volume, name), 0o755); err != nil {
			t.Fatal(err)
		}
		testkit.WriteFile(t, filepath.Join(volume, name, "policy.yaml"), text)
		if err := os.Symlink(name, filepath.Join(volume, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(volume, "..data_tmp"), filepath.Join(volume, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	version("..1", "version: 1\n")
	file := filepath.Join(volume, "policy.yaml")
	if err := os.Symlink(filepath.Join("..data", "policy.yaml"), file); err != nil {
		t.Fatal(err)
	}
	g := start(t, setup{configure: func(c *config.Config) { c.Policy.File = file }})
	c := g.client(1)
	version("..2", "version: 1\njurisdictions: {FR: withdrawn}\n")
	os.RemoveAll(filepath.Join(volume, "..1"))
	testkit.Eventually(t, "France is refused", func() bool { return g.request(c, "/", france).status == 451 })
	version("..3", "version: 1\njurisdictions: {DE: withdrawn}\n")
	os.RemoveAll(filepath.Join(volume, "..2"))
	testkit.Eventually(t, "Germany is refused", func() bool { return g.request(c, "/", germany).status == 451 })
	version("..4", "version: 2\n")
	g.policyFails(t, "version 2 is newer than this exitgate reads")
	version("..5", "version: 1\n")
	g.policyHolds(t)
}

func TestABadEditOfThePolicyChangesNothingAndIsSaidToBeBad(t *testing.T) {
	g := start(t, setup{policy: twoRefused})
	load := startLoad(g, 4)
	testkit.ReplaceFile(t, g.policy, "version: 1\njurisdictions: {FX: withdrawn}\n")
	g.policyFails(t, `"FX" is not a jurisdiction`)
	testkit.WriteFile(t, g.policy, "")
	g.policyFails(t, "is empty")
	testkit.WriteFile(t, g.policy, "\x00\x01\x02")
	g.policyFails(t, g.policy)
	testkit.WriteFile(t, g.policy, strings.Repeat("#", 9<<20))
	g.policyFails(t, "limit")
	os.Remove(g.policy)
	g.policyFails(t, syscall.ENOENT.Error())
	if err := os.Mkdir(g.policy, 0o755); err != nil {
		t.Fatal(err)
	}
	g.policyFails(t, "is not a regular file")
	os.Remove(g.policy)

	// What was in use returns: it isn't a new policy.
	testkit.WriteFile(t, g.policy, twoRefused)
	g.policyHolds(t)
	if n := g.metric("exitgate_policy_revision"); n != 1 {
		t.Errorf("it is said to be policy %v", n)
	}
	testkit.ReplaceFile(t, g.policy, "jurisdictions: {FR: open}\n")
	g.policyFails(t, "version")
	load.end(t)
	testkit.ReplaceFile(t, g.policy, "version: 1\njurisdictions: {DE: withdrawn}\n")
	g.policyHolds(t)
	if a := g.request(g.client(1), "/", germany); a.status != 451 {
		t.Errorf("by the good one Germany gets %d", a.status)
	}
	if n := len(g.log.Lines("policy applied", "open → withdrawn: DE", "withdrawn → open: FR, US-MS", "sha256=")); n != 1 {
		t.Errorf("it is in the log %d times", n)
	}
}

func TestAPolicyThatChangedBeforeTheWatchBeganIsTakenUp(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy.yaml")
	testkit.WriteFile(t, file, "version: 1\n")
	// The clock is first asked after New has read the policy.
	changed := sync.OnceFunc(func() { testkit.ReplaceFile(t, file, "version: 1\njurisdictions: {FR: withdrawn}\n") })
	loaded := false
	var mu sync.Mutex
	g := start(t, setup{
		configure: func(c *config.Config) { c.Policy.File = file },
		now: func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			if loaded {
				changed()
			}
			loaded = true
			return time.Now()
		},
	})
	testkit.Eventually(t, "France is refused", func() bool { return g.request(g.client(1), "/", france).status == 451 })
}

// certificate makes a certificate for the host, signed by itself, with a
// serial number to tell it by.
func certificate(t *testing.T, serial int64) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Date(2090, 1, int(serial), 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

func TestCertificatesAreReadAgainWhenTheyChange(t *testing.T) {
	folder := t.TempDir()
	certFile, keyFile := filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	put := func(serial int64) {
		cert, key := certificate(t, serial)
		testkit.WriteFile(t, keyFile, key)
		testkit.WriteFile(t, certFile, cert)
	}
	put(1)
	g := start(t, setup{configure: func(c *config.Config) { c.TLS.Files = []config.CertFile{{Cert: certFile, Key: keyFile}} }})
	shown := func() int64 {
		t.Helper()
		c, err := tls.Dial("tcp", g.at.HTTPS, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if shown() != 1 {
		t.Fatal("it shows another certificate")
	}
	put(2)
	testkit.Eventually(t, "the second is shown", func() bool { return shown() == 2 })
	if n := g.metric(`exitgate_certificate_expiry_timestamp_seconds{host="app.example"}`); n != float64(time.Date(2090, 1, 2, 0, 0, 0, 0, time.UTC).Unix()) {
		t.Errorf("it is said to end at %v", n)
	}

	testkit.WriteFile(t, certFile, "garbage")
	testkit.Eventually(t, "the failure is reported", func() bool {
		status, checks := g.ready()
		c := checks["certificates"]
		return status == 200 && !c.OK && contains(c.Detail, certFile) && c.Since != nil
	})
	if shown() != 2 {
		t.Error("the second isn't shown any more")
	}
	if g.metric("exitgate_certificate_reload_failures_total") < 1 {
		t.Error("the failure isn't counted")
	}
	put(4)
	testkit.Eventually(t, "the fourth is shown", func() bool { return shown() == 4 })
	if _, checks := g.ready(); checks["certificates"].Detail != "" {
		t.Errorf("something is said to be wrong: %+v", checks["certificates"])
	}
}

func TestWrongCertificatesAtTheStartAreAllSaid(t *testing.T) {
	folder := t.TempDir()
	cert, key := certificate(t, 1)
	_, other := certificate(t, 2)
	at := func(name string) string { return filepath.Join(folder, name) }
	testkit.WriteFile(t, at("a.crt"), cert)
	testkit.WriteFile(t, at("a.key"), key)
	testkit.WriteFile(t, at("b.key"), other)
	_, err := tryStart(t, setup{configure: func(c *config.Config) {
		c.TLS.Files = []config.CertFile{{Cert: at("a.crt"), Key: at("a.key")}, {Cert: at("a.crt"), Key: at("b.key")}, {Cert: at("a.crt"), Key: at("c.key")}}
		c.Apps[0].CA = at("b.key")
	}})
	if err == nil {
		t.Fatal("it starts")
	}
	for i, line := range strings.SplitN(err.Error(), "\n", 3) {
		if want := at([]string{"b.key", "b.key", "c.key"}[i]); !strings.Contains(line, want) {
			t.Errorf("line %d doesn't name %s: %s", i+1, want, line)
		}
	}
}

// A4 and F: a policy file that is being written, or whose writing has failed, may be valid
// and open a market.
func TestHalfAPolicyFileOpensNothing(t *testing.T) {
	const whole = "version: 1\n# our policy\njurisdictions:\n  DE: announced\n  FR: withdrawn\n"
	g := start(t, setup{policy: whole})
	c := g.client(1)
	for name, half := range map[string]string{
		"up to a line":                       "version: 1\n# our policy\njurisdictions:\n  DE: announced\n",
		"up to a byte, and else than before": "version: 1\n# our new policy",
	} {
		testkit.WriteFile(t, g.policy, half)
		g.policyFails(t, "it looks cut off")
		if a := g.request(c, "/", france); a.status != 451 {
			t.Errorf("%s: France gets %d", name, a.status)
		}
		testkit.WriteFile(t, g.policy, whole)
		g.policyHolds(t)
	}
	// Put in place whole, it is meant.
	testkit.ReplaceFile(t, g.policy, "version: 1\n# our policy\njurisdictions:\n  DE: withdrawn\n")
	testkit.Eventually(t, "France is served", func() bool { return g.request(c, "/", france).status == 200 })
	g = g.restart(setup{})
	c = g.client(1)
	// As is what an end mark ends; without it, it isn't.
	testkit.ReplaceFile(t, g.policy, "version: 1\njurisdictions: {FR: withdrawn}\n...\n")
	testkit.Eventually(t, "France is refused", func() bool { return g.request(c, "/", france).status == 451 })
	testkit.ReplaceFile(t, g.policy, "version: 1\n# none\n")
	g.policyFails(t, `it doesn't end with "..."`)
}
