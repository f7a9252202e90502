package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/exitgate/exitgate/gateway/certs"
	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/gateway/source"
	"github.com/exitgate/exitgate/gateway/statedir"
)

// A Severity is how much a Finding matters.
type Severity string

// The severities.
const (
	OK      Severity = "ok"
	Warning Severity = "warning"
	Failure Severity = "failure"
)

// A Finding is what a check has found.
type Finding struct {
	Check  string   `json:"check"` // what was looked at
	Status Severity `json:"status"`
	Detail string   `json:"detail"`
	Mend   string   `json:"mend,omitempty"` // what to do
}

// An Examination says what Examine looks at.
type Examination struct {
	Settings config.Config
	// Known says that these are a gateway's settings, and not the defaults: else only the
	// data folder is looked at.
	Known   bool
	Running bool // a gateway runs with the data folder
	Now     func() time.Time
}

// Limits of what is well.
const (
	examineTimeout  = 5 * time.Second     // for one look over the network
	clockTolerance  = 5 * time.Second     // as for that of NATS
	certificateSoon = 14 * 24 * time.Hour // what renews by itself has done so by then
	databaseOld     = 30 * 24 * time.Hour // vendors build anew each week or month
	diskLittle      = 256 << 20
	diskTooLittle   = 16 << 20
)

// Examine looks at what a gateway needs of its machine, and of its apps, and says what to
// mend. It writes nothing. It asks each upstream of the apps with HEAD / and each listener
// with a connection.
func Examine(ctx context.Context, e Examination) []Finding {
	x := &examination{Examination: e, ctx: ctx}
	if e.Known {
		x.examineListeners()
		x.examineCertificates()
		x.examineApps()
		x.examineProxies()
		x.examineDatabases()
		x.examineSecrets()
	}
	x.examineFolder()
	return x.found
}

type examination struct {
	Examination
	ctx   context.Context
	found []Finding
}

func (x *examination) ok(check, format string, args ...any) {
	x.found = append(x.found, Finding{Check: check, Status: OK, Detail: fmt.Sprintf(format, args...)})
}

func (x *examination) add(s Severity, check, mend, format string, args ...any) {
	x.found = append(x.found, Finding{Check: check, Status: s, Detail: fmt.Sprintf(format, args...), Mend: mend})
}

// examineListeners looks whether the gateway answers at its ports, or whether they are free
// for it.
func (x *examination) examineListeners() {
	for _, l := range []struct{ setting, address string }{
		{"listen.https", x.Settings.Listen.HTTPS}, {"listen.http", x.Settings.Listen.HTTP.Address},
		{"listen.decisions", x.Settings.Listen.Decisions}, {"admin.listen", x.Settings.Admin.Listen}, {"admin.probes", x.Settings.Admin.Probes},
	} {
		if l.address == "" {
			continue
		}
		check := "port " + l.setting
		if x.Running {
			conn, err := x.dial(l.address)
			if err != nil {
				x.add(Failure, check, "see the gateway's log; were the settings changed since it was started?", "nobody answers at %s: %v", l.address, networkCause(err))
				continue
			}
			_ = conn.Close()
			x.ok(check, "answers at %s", l.address)
			continue
		}
		listener, err := net.Listen("tcp", l.address)
		x.examineBound(check, l.setting, l.address, listener, err)
	}
	if at := x.Settings.Listen; at.HTTP3 > 0 && !x.Running { // a running one is seen by no connection
		socket, err := net.ListenPacket("udp", at.HTTPS)
		x.examineBound("port listen.http3", "listen.https", at.HTTPS+", over UDP,", socket, err)
	}
}

// examineBound says what came of the attempt to listen at an address.
func (x *examination) examineBound(check, setting, address string, socket io.Closer, err error) {
	switch {
	case err == nil:
		_ = socket.Close()
		x.ok(check, "%s is free", address)
	case errors.Is(err, syscall.EADDRINUSE):
		x.add(Failure, check, "stop what listens there (ss -lntup), or give another address as "+setting+"; if systemd holds the gateway's sockets, that is as it should be", "%s is taken", address)
	case errors.Is(err, syscall.EACCES):
		x.add(Failure, check, "give the program CAP_NET_BIND_SERVICE, as the systemd unit does, or a port from 1024 on; if only this user may not listen there, run doctor as the gateway's user", "this user may not listen at %s", address)
	default:
		x.add(Failure, check, "give an address of this machine as "+setting, "%s: %v", address, networkCause(err))
	}
}

// dial connects to an address that a gateway of this machine listens at.
func (x *examination) dial(address string) (net.Conn, error) {
	at, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(x.ctx, examineTimeout)
	defer cancel()
	if at.IP == nil { // all addresses, of IPv4, too
		return new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort("localhost", fmt.Sprint(at.Port)))
	}
	return new(net.Dialer).DialContext(ctx, "tcp", dialable(at))
}

// examineCertificates looks at what clients are shown, or would be.
func (x *examination) examineCertificates() {
	if x.Settings.Listen.HTTPS == "" {
		return
	}
	if len(x.Settings.ProxyProtocol) > 0 || !x.Running {
		x.examineCertificateFiles()
		return
	}
	for _, app := range x.Settings.Apps {
		for _, host := range app.Hosts {
			name := host
			if host == "*" {
				name = ""
			} else if rest, wild := strings.CutPrefix(host, "*."); wild {
				name = "doctor." + rest // one of them
			}
			if shown := x.shown("certificate "+host, name); shown != nil {
				x.examineShown("certificate "+host, name, shown)
			}
		}
	}
}

// shown returns the chain that clients are shown who ask for a name, or with "" for none;
// nil if that can't be seen.
func (x *examination) shown(check, name string) []*x509.Certificate {
	conn, err := x.dial(x.Settings.Listen.HTTPS)
	if err != nil {
		return nil // that is said of the port
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(x.ctx, examineTimeout)
	defer cancel()
	// It is looked at and not trusted: nothing is sent.
	client := tls.Client(conn, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err := client.HandshakeContext(ctx); err != nil {
		x.add(Failure, check, "see the gateway's log and exitgate status: perhaps no certificate was obtained yet", "the handshake fails: %v", networkCause(err))
		return nil
	}
	return client.ConnectionState().PeerCertificates
}

func (x *examination) examineShown(check, name string, chain []*x509.Certificate) {
	leaf, now := chain[0], x.Now()
	x.examineEnd(check, leaf.NotAfter)
	if now.After(leaf.NotAfter) {
		return
	}
	options := x509.VerifyOptions{DNSName: name, Intermediates: x509.NewCertPool(), CurrentTime: now}
	for _, c := range chain[1:] {
		options.Intermediates.AddCert(c)
	}
	if _, err := leaf.Verify(options); err != nil {
		x.add(Warning, check, "set tls.acme, or tls.files with the whole chain; if clients trust an authority of your own, all is well", "this machine doesn't trust it: %v", err)
	}
}

// examineEnd says when a certificate ends.
func (x *examination) examineEnd(check string, end time.Time) {
	const mend = "replace it; of those by ACME, exitgate status says why none was obtained"
	switch left := end.Sub(x.Now()); {
	case left <= 0:
		x.add(Failure, check, mend, "has ended at %s", end.UTC().Format(time.RFC3339))
	case left < certificateSoon:
		x.add(Warning, check, mend, "ends at %s, in %d days", end.UTC().Format(time.RFC3339), left/(24*time.Hour))
	default:
		x.ok(check, "valid until %s", end.UTC().Format(time.DateOnly))
	}
}

// examineCertificateFiles looks at the files; what is wrong with them is found in the
// settings.
func (x *examination) examineCertificateFiles() {
	for _, pair := range x.Settings.TLS.Files {
		loaded, err := certs.Load([]certs.Pair{certs.Pair(pair)}, certs.Options{})
		if err != nil {
			continue
		}
		for host, end := range loaded.Expiry() {
			x.examineEnd("certificate "+host, end)
		}
	}
}

// examineApps asks each upstream, and compares its clock with this machine's.
func (x *examination) examineApps() {
	for _, app := range x.Settings.Apps {
		host := ""
		if len(app.Hosts) > 0 && !strings.Contains(app.Hosts[0], "*") {
			host = app.Hosts[0]
		}
		for _, upstream := range app.Upstreams {
			x.examineUpstream(app, upstream, host)
		}
	}
}

func (x *examination) examineUpstream(app config.App, upstream, host string) {
	check := "app " + upstream
	client, at, err := clientOf(app, upstream)
	if err != nil {
		return // that is found in the settings
	}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(x.ctx, examineTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodHead, at, nil)
	if err != nil {
		return
	}
	r.Host = host
	r.Header.Set("User-Agent", "exitgate-doctor")
	began := x.Now()
	answer, err := client.Do(r)
	if err != nil {
		x.add(Failure, check, "start the app, or put its address right under apps: in the settings; it is asked from this machine, by this user", "can't be reached: %v", networkCause(err))
		return
	}
	_ = answer.Body.Close()
	ended := x.Now()
	if answer.StatusCode >= 500 && answer.StatusCode != http.StatusNotImplemented { // of HEAD
		x.add(Warning, check, "see the app's log", "answers HEAD / with %s", answer.Status)
	} else {
		x.ok(check, "answers HEAD / with %s", answer.Status)
	}
	x.examineClock("clock against "+upstream, answer.Header.Get("Date"), began, ended)
}

// examineClock compares the clock with a Date field (RFC 9110, section 6.6.1), whose
// resolution is a second, of an answer that came between two moments.
func (x *examination) examineClock(check, date string, began, ended time.Time) {
	theirs, err := http.ParseTime(date)
	if err != nil {
		return // it has none
	}
	off := time.Duration(0)
	switch latest := theirs.Add(time.Second); {
	case began.After(latest):
		off = began.Sub(latest)
	case ended.Before(theirs):
		off = ended.Sub(theirs)
	}
	if off.Abs() > clockTolerance {
		x.add(Failure, check, "set the clock that is wrong, and see that NTP runs: scheduled changes take place by this machine's", "this machine's clock differs by %s (positive: it is ahead)", off.Round(time.Second))
		return
	}
	x.ok(check, "differs by less than %s", max(off.Abs().Round(time.Second), time.Second)+time.Second)
}

// clientOf returns what asks an upstream of an app, and the URL that it is asked with.
func clientOf(app config.App, upstream string) (*http.Client, string, error) {
	at, err := url.Parse(upstream)
	if err != nil {
		return nil, "", err
	}
	t := &http.Transport{Protocols: new(http.Protocols), DisableKeepAlives: true}
	t.Protocols.SetHTTP1(true)
	target := "http://" + at.Host + "/"
	switch at.Scheme {
	case "http":
	case "https":
		target = "https://" + at.Host + "/"
		if t.TLSClientConfig, err = certs.ClientTLS(app.CA, certs.Pair{Cert: app.Cert, Key: app.Key}); err != nil {
			return nil, "", err
		}
		t.TLSClientConfig.ServerName = app.ServerName
	case "h2c", "unix+h2c":
		t.Protocols.SetHTTP1(false)
		t.Protocols.SetUnencryptedHTTP2(true)
	case "unix":
	default:
		return nil, "", fmt.Errorf("unknown scheme %q", at.Scheme)
	}
	if strings.HasPrefix(at.Scheme, "unix") {
		target = "http://localhost/"
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", at.Path)
		}
	}
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, target, nil
}

// examineProxies says who is believed; what is seen of others is in the gateway's status.
func (x *examination) examineProxies() {
	trusted, speaks := len(x.Settings.TrustedProxies), len(x.Settings.ProxyProtocol)
	if trusted+speaks == 0 {
		x.ok("trusted proxies", "none: clients are located by where their connections come from. Behind a load balancer or CDN that would be where that is")
		return
	}
	x.ok("trusted proxies", "%d networks say in %s whom a request comes from, %d speak the PROXY protocol", trusted, x.Settings.ClientHeader, speaks)
}

// examineDatabases looks at the files as they are now.
func (x *examination) examineDatabases() {
	g := x.Settings.Geo
	locator, err := geo.Open(geo.Options{Files: g.Databases, Corrections: g.Corrections, RegisteredCountry: g.RegisteredCountry})
	if err != nil {
		return // that is found in the settings
	}
	const mend = "put a newer one in its place: see docs/operations.md, Databases"
	for _, d := range locator.Databases() {
		check, age := "database "+d.Path, x.Now().Sub(d.Build)
		switch {
		case d.Build.IsZero():
			x.ok(check, "%s", d.Type)
		case g.MaxAge > 0 && age > g.MaxAge:
			x.add(Warning, check, mend, "%s, built %s: older than geo.max-age, which fails while a market is restricted", d.Type, d.Build.Format(time.DateOnly))
		case d.Path == geo.Embedded:
			x.add(Warning, check, "bring one of MaxMind, DB-IP or IPinfo, and name it under geo.databases", "%s, built %s: it is for trying out, knows countries only, and gets older with the program", d.Type, d.Build.Format(time.DateOnly))
		case age > databaseOld:
			x.add(Warning, check, mend, "%s, built %s, %d days ago", d.Type, d.Build.Format(time.DateOnly), age/(24*time.Hour))
		default:
			x.ok(check, "%s, built %s", d.Type, d.Build.Format(time.DateOnly))
		}
	}
	c, subdivided := locator.Capability(), 0
	for _, coverage := range c.Places {
		if coverage.Subdivided.IPv4+coverage.Subdivided.IPv6 > 0 {
			subdivided++
		}
	}
	anonymous := "they don't find who is anonymous"
	if c.Anonymous {
		anonymous = "they find who is anonymous"
	}
	x.ok("databases", "together they tell %d places apart, and subdivisions in %d countries; %s", len(c.Places), subdivided, anonymous)
}

// examineSecrets looks at who may read the secrets that the settings name.
func (x *examination) examineSecrets() {
	s := x.Settings
	names := []string{s.Admin.TLS.Key, s.Policy.Ledger.TLS.Key, s.Policy.Ledger.Credentials, s.Flags.OFREP.TokenFile, s.Flags.OFREP.APIKeyFile, s.Caches.Purge.TokenFile}
	for _, pair := range s.TLS.Files {
		names = append(names, pair.Key)
	}
	for _, app := range s.Apps {
		names = append(names, app.Key, app.SecretFile)
	}
	for _, receiver := range s.Notify {
		names = append(names, receiver.SecretFile)
	}
	private := 0
	for _, name := range names {
		if name == "" {
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			continue // that is found in the settings
		}
		if x.examineMode("secret file", name, info.Mode()) {
			private++
		}
	}
	if private > 0 {
		x.ok("secret files", "%d of them, which others on this machine can't read or change", private)
	}
}

// examineMode reports whether others can neither read nor change a file with a secret.
func (x *examination) examineMode(check, name string, mode fs.FileMode) bool {
	const group, others = 0o020, 0o007
	if mode.IsRegular() && mode.Perm()&(group|others) != 0 {
		x.add(Failure, check+" "+name, "chmod o=,g-w "+name, "others on this machine can read or change it: its mode is %v", mode)
		return false
	}
	return true
}

// examineFolder looks at the data folder: who may read it, what room there is, and, while no
// gateway can be asked, what is in it.
func (x *examination) examineFolder() {
	folder, err := statedir.Find(x.Settings.Data)
	if err != nil {
		x.add(Failure, "data folder", "name one with --data", "%v", err)
		return
	}
	dir := statedir.Dir(folder)
	info, err := os.Stat(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !x.Running:
		x.ok("data folder", "%s isn't there yet: the first start makes it", folder)
		return
	case err == nil && info.Mode().Perm()&0o022 != 0:
		x.add(Failure, "data folder", "chmod go-w "+folder, "others on this machine may write to %s: its mode is %v", folder, info.Mode())
	case err == nil && info.Mode().Perm()&0o007 != 0:
		x.add(Warning, "data folder", "chmod 0700 "+folder, "others on this machine may look into %s: its mode is %v", folder, info.Mode())
	case err == nil:
		x.ok("data folder", "%s, closed to others", folder)
	}
	if err == nil {
		_, err = os.ReadDir(folder)
	}
	if err != nil {
		x.add(Failure, "data folder", "run this command as root, or as the gateway's user", "%v", err)
		return
	}
	if _, err := os.Lstat(dir.RestoreUnderWay()); err == nil {
		x.add(Failure, "data folder", "do it again: exitgate restore", "%s was restored in part only", folder)
	}
	names, err := dir.BackupNames(true)
	if err != nil {
		x.add(Failure, "data folder", "run this command as root, or as the gateway's user", "%v", err)
	}
	for _, name := range append(names, filepath.Base(dir.Records())) {
		file := filepath.Join(folder, filepath.FromSlash(name))
		if info, err := os.Stat(file); err == nil && !strings.HasSuffix(name, ".crt") && !strings.HasSuffix(name, ".mmdb") {
			x.examineMode("data file", file, info.Mode())
		}
	}
	x.examineDisk(dir)
	if !x.Running {
		x.examineRecords(dir)
	}
}

func (x *examination) examineDisk(dir statedir.Dir) {
	free, err := dir.Free()
	const mend = "make room on the disk of the data folder: without it nothing can be changed, and the next start can't go by what was last known"
	switch {
	case errors.Is(err, errors.ErrUnsupported):
	case err != nil:
		x.add(Failure, "disk", mend, "%v", err)
	case free < diskTooLittle:
		x.add(Failure, "disk", mend, "%d MiB are free", free>>20)
	case free < diskLittle:
		x.add(Warning, "disk", mend, "%d MiB are free", free>>20)
	default:
		x.ok("disk", "%d MiB are free", free>>20)
	}
}

// examineRecords verifies this machine's copy of the ledger's records.
func (x *examination) examineRecords(dir statedir.Dir) {
	const check, mend = "ledger", "see docs/operations.md, The ledger is lost"
	known, err := source.LastKnown(dir)
	if err != nil {
		x.add(Failure, check, "move it away: the next start makes it again from the ledger", "%v", err)
		return
	}
	records, _, err := ledger.ReadArchive(dir.Records())
	if errors.Is(err, fs.ErrNotExist) && known == (ledger.Point{}) {
		return // there is none
	}
	if err != nil {
		x.add(Failure, check, mend, "%v", err)
		return
	}
	defer func() { _ = records.Close() }() // it was only read
	head, wrong, err := verifyRecords(records)
	if err == nil {
		err = checkHas(records, known, fmt.Sprintf("%s lacks %v, which this gateway has seen", dir.Records(), known))
	}
	switch {
	case err != nil:
		x.add(Failure, check, mend, "%v", err)
	case len(wrong) > 0:
		x.add(Failure, check, "see docs/operations.md, A record was refused", "%d records can't be what they say, the first of them %d", len(wrong), wrong[0])
	default:
		x.ok(check, "this machine's copy is valid up to record %d, with the hash %s", head.Number, head.Hash)
	}
}

// networkCause takes the addresses and the operation from an error of the network.
func networkCause(err error) error {
	if number, ok := errors.AsType[syscall.Errno](err); ok {
		return number
	}
	if of, ok := errors.AsType[*url.Error](err); ok {
		return of.Err
	}
	return err
}
