package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/exitgate/exitgate/gateway/accesslog"
	"github.com/exitgate/exitgate/gateway/certs"
	"github.com/exitgate/exitgate/gateway/client"
	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/gateway/metrics"
	"github.com/exitgate/exitgate/gateway/statedir"
	"github.com/exitgate/exitgate/internal/files"
	"github.com/exitgate/exitgate/internal/strictyaml"
	"github.com/exitgate/exitgate/policy/document"
)

// CheckSettings returns why a gateway would not start with settings, beside what
// Validate says of them: it reads the files that they name. What it would start without,
// and what isn't as clients need it, is warned of. It connects to nothing, listens
// nowhere and writes nothing.
func CheckSettings(c config.Config, now time.Time) (wrong, warnings []config.Fault) {
	k := checker{g: &Gateway{config: c, log: slog.New(slog.DiscardHandler), metrics: metrics.New(prometheus.NewRegistry()), now: func() time.Time { return now }}}
	if folder, err := statedir.Find(c.Data); err == nil {
		k.g.data = statedir.Dir(folder)
	}
	k.checkApps(c)
	k.checkProxies(c)
	k.checkCertificates(c)
	k.checkOperators(c)
	k.checkDatabases(c.Geo)
	k.checkPolicy(c.Policy)
	return k.wrong, k.warnings
}

// A checker collects what it finds.
type checker struct {
	g               *Gateway // that is never run
	wrong, warnings []config.Fault
}

// report adds an error, if there is one, about the setting at a path.
func (k *checker) report(err error, path ...any) {
	if err != nil {
		k.wrong = append(k.wrong, config.Fault{Path: path, Message: err.Error()})
	}
}

func (k *checker) warn(message, advice string, path ...any) {
	k.warnings = append(k.warnings, config.Fault{Path: path, Message: message, Advice: advice})
}

func (k *checker) checkApps(c config.Config) {
	if len(c.Apps) == 0 {
		k.wrong = append(k.wrong, config.Fault{Path: []any{"apps"}, Message: "there is no app to stand in front of", Advice: "add one under apps:"})
	}
	for i, a := range c.Apps {
		if len(a.Upstreams) > 0 { // else it is said already
			_, err := k.g.openApp(a, c.Limits)
			k.report(err, "apps", i)
		}
	}
}

// checkProxies holds the networks that are believed against what strangers could be in.
func (k *checker) checkProxies(c config.Config) {
	_, err := client.NewResolver(client.Trust{Proxies: c.TrustedProxies, Header: c.ClientHeader})
	k.report(err, "trusted-proxies")
	k.report(client.CheckNetworks("proxy-protocol", c.ProxyProtocol), "proxy-protocol")
}

// checkCertificates holds the certificates of the public listener against the hosts of
// the apps, and against the time.
func (k *checker) checkCertificates(c config.Config) {
	var all []*certs.Files
	for i, f := range c.TLS.Files {
		loaded, err := certs.Load([]certs.Pair{certs.Pair(f)}, certs.Options{})
		if err != nil {
			k.report(err, "tls", "files", i)
			continue
		}
		all = append(all, loaded)
		for _, end := range loaded.Expiry() { // of its hosts, all the same
			if !k.g.now().Before(end) {
				k.warn("the certificate has ended at "+end.UTC().Format(time.RFC3339), "replace it", "tls", "files", i)
				break
			}
		}
	}
	if len(all) < len(c.TLS.Files) {
		return // for which hosts the others are isn't known
	}
	var obtained []string
	for i, app := range c.Apps {
		for j, host := range app.Hosts {
			covered := slices.ContainsFunc(all, func(f *certs.Files) bool { return f.Covers(host) })
			if !covered && k.checkUncovered(c.TLS, host, "apps", i, "hosts", j) {
				obtained = append(obtained, host)
			}
		}
	}
	if c.TLS.ACME.IsSet() {
		_, err := k.g.openACME(c.TLS.ACME, obtained)
		k.report(err, "tls", "acme")
	}
}

// checkUncovered says what there is to say of a host that no file has a certificate for,
// and reports whether one can be obtained.
func (k *checker) checkUncovered(t config.TLS, host string, path ...any) (obtainable bool) {
	switch {
	case t.ACME.IsSet():
		advice, message := config.Unobtainable(host, len(t.ACME.DNS.Command) > 0)
		if message != "" && len(t.Files) > 0 { // else it is said already
			k.wrong = append(k.wrong, config.Fault{Path: path, Message: message, Advice: advice})
		}
		return message == ""
	case len(t.Files) > 0 && host != "*":
		k.warn("no certificate is for "+host+": clients will not trust the one that they are shown", "add one under tls.files, or set tls.acme", path...)
	}
	return false
}

// checkOperators looks at what the gateway and other servers than apps know each other by.
func (k *checker) checkOperators(c config.Config) {
	_, err := openAdminTLS(c.Admin.TLS)
	k.report(err, "admin", "tls")
	_, err = certs.LoadPool(c.Caches.Purge.CA)
	k.report(err, "caches", "purge", "ca")
	for i, n := range c.Notify {
		_, err = openReceiver(n)
		k.report(err, "notify", i)
	}
	if c.Flags.OFREP != (config.OFREP{}) {
		_, err = openFlagServer(c.Flags.OFREP, k.g.log, k.g.now)
		k.report(err, "flags", "ofrep")
	}
	_, err = clusterOf(c.Policy.Ledger)
	k.report(err, "policy", "ledger", "tls")
	if name := c.Policy.Ledger.Credentials; name != "" {
		_, err = files.Read(name, 1<<20)
		k.report(err, "policy", "ledger", "credentials")
	}
	k.report(accesslog.Check(c.AccessLog.File), "access-log", "file")
}

// checkDatabases opens the databases; where a copy of the last good one would be used
// instead, that is no error.
func (k *checker) checkDatabases(c config.Geo) {
	locator, err := geo.Open(geo.Options{Files: c.Databases, Corrections: c.Corrections, RegisteredCountry: c.RegisteredCountry, CopyFolder: k.g.data.Databases()})
	if err != nil {
		k.report(err, "geo")
		return
	}
	for _, d := range locator.Databases() {
		if d.Err != nil {
			k.warn(fmt.Sprintf("%v: a start goes by its last good copy", d.Err), "mend or replace it", "geo")
		}
	}
}

// checkPolicy reads the policy, if it is in a file; where a start would go by the last
// good one, that is no error.
func (k *checker) checkPolicy(p config.PolicySource) {
	if p.File == "" {
		return
	}
	lastGood, none := k.g.data.ReadLastGood()
	source, err := files.Read(p.File, strictyaml.Limit)
	if err == nil && !bytes.Equal(source, lastGood) { // a file that has changed counts as proposed
		read := document.Parse
		_, err = read(p.File, source)
	}
	if err == nil && none == nil {
		if err = files.CheckWhole(lastGood, source, true); err != nil {
			err = fmt.Errorf("%s: %w", p.File, err)
		}
	}
	advice := ""
	if all, ok := errors.AsType[strictyaml.Errors](err); ok {
		err, advice = fmt.Errorf("the policy has %d errors", len(all)), "exitgate check "+p.File+" says which"
	}
	switch {
	case err == nil:
	case none == nil:
		k.warn(err.Error()+"; a start goes by the last good one", advice, "policy", "file")
	default:
		k.wrong = append(k.wrong, config.Fault{Path: []any{"policy", "file"}, Message: err.Error(), Advice: advice})
	}
}
