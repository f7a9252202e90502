// Package config is the daemon's own settings, exitgate.yaml: types, defaults,
// validation, JSON Schema.
package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/exitgate/exitgate/internal/loopback"
	"github.com/exitgate/exitgate/internal/strictyaml"
)

// A Config is the daemon's own settings, one file a machine. Its tags are what
// the JSON Schema is generated from; of reload, what [Changes] says, and of file, which
// names are relative to the folder of the file. Start from Default: the zero Config
// lacks limits.
type Config struct {
	Listen         Listen         `yaml:"listen" doc:"Where the service is offered."`
	Apps           []App          `yaml:"apps" reload:"true" doc:"What is behind the gateway, by host."`
	TLS            TLS            `yaml:"tls" doc:"The certificates of the public listener."`
	TrustedProxies []netip.Prefix `yaml:"trusted-proxies" reload:"true" doc:"Who may say on whose behalf a request comes, as CIDRs. Nobody is believed by default."`
	ClientHeader   string         `yaml:"client-header" reload:"true" default:"X-Forwarded-For" doc:"Where trusted proxies say it: X-Forwarded-For, Forwarded, or a header with one address, as CF-Connecting-IP."`
	ProxyProtocol  []netip.Prefix `yaml:"proxy-protocol" doc:"Who must begin each connection with a PROXY protocol header, as CIDRs."`
	Caches         Caches         `yaml:"caches" doc:"The shared caches in front of the gateway, as a CDN or a proxy that keeps answers."`
	Geo            Geo            `yaml:"geo" doc:"The databases that locate clients."`
	Policy         PolicySource   `yaml:"policy" doc:"Where the policy comes from: a file, or else the ledger, whose first revision serves everywhere."`
	Flags          FlagSources    `yaml:"flags" doc:"Where flags come from, before the policy's own flags: table."`
	Notify         []Notify       `yaml:"notify" doc:"Who is told what happens, by webhooks."`
	AccessLog      AccessLog      `yaml:"access-log" doc:"What is logged of each request and its answer. It holds no addresses, and no paths. Off by default."`
	Admin          Admin          `yaml:"admin" doc:"The listener for operators: API, metrics and health."`
	Limits         Limits         `yaml:"limits" doc:"What a client may take."`
	Drain          time.Duration  `yaml:"drain" default:"30s" doc:"How long requests that are under way may go on when the gateway is stopped."`
	DrainDelay     time.Duration  `yaml:"drain-delay" default:"0s" doc:"How long the gateway says that it is unready, and serves on, before it stops accepting connections: as long as load balancers take to notice."`
	Data           string         `yaml:"data" file:"" doc:"Folder for what the gateway keeps. Default: $STATE_DIRECTORY, else $XDG_STATE_HOME/exitgate, else ~/.local/state/exitgate."`
}

// Listen is the public listener. An empty address turns a part of it off.
type Listen struct {
	HTTPS string `yaml:"https" default:":8443" doc:"Address of the HTTPS listener. Only where the plain one serves it may be empty."`
	HTTP  Plain  `yaml:"http" default:":8080" doc:"The plain listener. An address alone: it redirects to HTTPS."`
	// Decisions is where trusted proxies ask what becomes of requests that they forward
	// themselves.
	Decisions string `yaml:"decisions" doc:"Address of the listener, without TLS, at which trusted proxies ask what becomes of requests that they forward themselves: nginx's auth_request, Caddy's forward_auth, Traefik's forwardAuth. Default: there is none."`
	// HTTP3 is the port by which clients reach it; 0: it isn't served.
	HTTP3 int `yaml:"http3" default:"0" doc:"Port by which clients reach HTTP/3, as 443: answers tell them (Alt-Svc). It is served over UDP, at the address of https, which may be behind another port. 0: it is not served."`
	// Engine is Standard or Fast; empty is Standard.
	Engine string `yaml:"engine" default:"standard" doc:"What speaks HTTP with clients: standard, which is Go's net/http; or fast, which speaks HTTP/2 by the gateway's own server, at a fraction of the cost. Both decide, count, forward and limit by the same code."`
}

// The engines of Listen.
const (
	Standard = "standard"
	Fast     = "fast"
)

// An App is what is behind the gateway for some hosts.
type App struct {
	Hosts      []string `yaml:"hosts" required:"true" doc:"Host names without port; *.example.org for one label more; * for any. Other hosts get 421."`
	Upstreams  []string `yaml:"upstreams" required:"true" doc:"Where the app runs: http://, https://, h2c://HOST:PORT or unix:/PATH. Of several, each takes its share."`
	SecretFile string   `yaml:"secret-file" file:"" doc:"File with one line that is sent with each request, as Market-Gateway-Secret, so that the app can refuse what doesn't come through the gateway."`
	CA         string   `yaml:"ca" file:"" doc:"File of certificate authorities to trust for https upstreams, instead of the system's."`
	ServerName string   `yaml:"server-name" doc:"Name that certificates of https upstreams must have, instead of the host of their URL."`
	Cert       string   `yaml:"cert" file:"" doc:"Certificate chain, PEM, that https upstreams are shown."`
	Key        string   `yaml:"key" file:"" doc:"Its private key, PEM."`
	Forwarded  bool     `yaml:"forwarded" default:"false" doc:"Send Forwarded (RFC 7239) besides X-Forwarded-For."`
}

// Caches says what shared caches in front do with answers.
type Caches struct {
	KeyHeader string `yaml:"key-header" reload:"true" doc:"Request header by which the caches tell places apart: part of their key, set by trusted proxies to the client's country (FR) or first-level subdivision (US-MS), in the codes of ISO 3166. Without one, what is refused anywhere is kept by no shared cache."`
	Purge     Purge  `yaml:"purge" doc:"What empties the caches when a market becomes more restricted."`
}

// A Purge is a command, a request, or both. It is done again until it succeeds.
type Purge struct {
	Command   []string      `yaml:"command" doc:"Program with its arguments, without a shell. It reads what is refused now as JSON; exit code 0: done."`
	URL       string        `yaml:"url" doc:"Where the same JSON is sent with POST, over https or to loopback; status 2xx: done."`
	TokenFile string        `yaml:"token-file" file:"" doc:"File with a bearer token for it, read each time."`
	CA        string        `yaml:"ca" file:"" doc:"File of certificate authorities to trust for it, instead of the system's."`
	Timeout   time.Duration `yaml:"timeout" default:"30s" doc:"How long each of the two may take."`
}

// IsSet reports whether there is anything to do.
func (p Purge) IsSet() bool { return len(p.Command) > 0 || p.URL != "" }

// A Notify is a receiver of webhooks.
type Notify struct {
	URL        string        `yaml:"url" required:"true" doc:"Where events are sent with POST, as CloudEvents 1.0, over https or to loopback; status 2xx: taken."`
	Events     []string      `yaml:"events" doc:"Which ones: proposed, approved, rejected, expiring, applied, emergency, overdue, transition, breach, unenforced. Default: all."`
	SecretFile string        `yaml:"secret-file" file:"" doc:"File with a secret that the receiver knows, too, whsec_ and 24 to 64 bytes in base64: events are signed with it as the Standard Webhooks specification says."`
	CA         string        `yaml:"ca" file:"" doc:"File of certificate authorities to trust for it, instead of the system's."`
	Timeout    time.Duration `yaml:"timeout" default:"15s" doc:"How long it may take to answer."`
}

// NotifyEvents are the kinds of events that a receiver can ask for.
var NotifyEvents = []string{"proposed", "approved", "rejected", "expiring", "applied", "emergency", "overdue", "transition", "breach", "unenforced"}

func (n Notify) faults(i int) (found []Fault) {
	report := func(advice, message string, path ...any) {
		found = append(found, Fault{append([]any{"notify", i}, path...), message, advice})
	}
	if u, err := url.Parse(n.URL); err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && !(u.Scheme == "http" && loopback.IsHost(u.Hostname())) {
		report("write https://HOST/PATH; http:// only to loopback", "it is not an address to send events to", "url")
	}
	for j, event := range n.Events {
		if !slices.Contains(NotifyEvents, event) {
			report("write one of "+strings.Join(NotifyEvents, ", "), fmt.Sprintf("there is no event %.40q", event), "events", j)
		}
	}
	if n.Timeout != 0 && (n.Timeout < 100*time.Millisecond || n.Timeout > time.Minute) {
		report("give a time from 100ms to 1m", fmt.Sprintf("timeout is %s", n.Timeout), "timeout")
	}
	return found
}

// Geo says how clients are located.
type Geo struct {
	Databases         []string      `yaml:"databases" file:"embedded" doc:"MaxMind DB files: GeoIP2 or GeoLite2, DB-IP, IPinfo, ip-location-db; for the place, ASN and anonymous IPs. Empty: the embedded country database."`
	RegisteredCountry bool          `yaml:"registered-country" default:"false" doc:"Where a database has no country for an address, believe the country it is registered in."`
	AllowOlder        bool          `yaml:"allow-older" default:"false" doc:"Take a changed database even if it was built before the one in use."`
	Corrections       []string      `yaml:"corrections" file:"" doc:"Files with what the operator knows better, in the format of RFC 8805: prefix, country, region, city, postal code. They go before the databases."`
	MaxAge            time.Duration `yaml:"max-age" default:"1440h" doc:"How old a database may be while a market is restricted: 60 days. 0: as old as it is."`
	Hold              GeoHold       `yaml:"hold" doc:"How much less than the one before a database may have, in percent, before it is held until somebody decides."`
}

// GeoHold says when a database is held.
type GeoHold struct {
	Coverage     int `yaml:"coverage" default:"10" doc:"Of the addresses that are located to any country, by IPv4 and IPv6; also a country that is gone. 0: not looked at."`
	Jurisdiction int `yaml:"jurisdiction" default:"33" doc:"Of the addresses of a jurisdiction that the policy restricts. 0: not looked at."`
}

// A PolicySource says where the policy comes from. Without a file it is the
// ledger.
type PolicySource struct {
	File   string `yaml:"file" file:"" doc:"A policy document, read again when it changes. The admin API is read-only then."`
	Ledger Ledger `yaml:"ledger" doc:"The record of all changes, by the admin API. Default: in a NATS server inside the process, in the data folder."`
}

// A Ledger says where the ledger is. The zero one is in the process.
type Ledger struct {
	NATS        []string   `yaml:"nats" doc:"Servers of the operator's NATS cluster with JetStream: nats://HOST:PORT or tls://HOST:PORT."`
	Credentials string     `yaml:"credentials" file:"" doc:"File with the NATS user's JWT and seed."`
	TLS         ClientCert `yaml:"tls" doc:"What the cluster is trusted by, and what it is shown."`
	Domain      string     `yaml:"domain" doc:"JetStream domain of the cluster; default: that of the account."`
	Replicas    int        `yaml:"replicas" default:"3" doc:"Copies of the ledger in the cluster: 1 for a single server, else 3 or 5."`
	Mirror      string     `yaml:"mirror" doc:"JetStream domain, in a region of its own, in which a copy of the ledger is kept and read."`
	Name        string     `yaml:"name" default:"exitgate" doc:"Tells ledgers in one NATS account apart."`
}

// A ClientCert is what a client of TLS goes by.
type ClientCert struct {
	CA   string `yaml:"ca" file:"" doc:"File of certificate authorities to trust, instead of the system's."`
	Cert string `yaml:"cert" file:"" doc:"Certificate chain to show, PEM."`
	Key  string `yaml:"key" file:"" doc:"Its private key, PEM."`
}

// FlagSources say who is asked for flags before the policy's own table.
type FlagSources struct {
	OFREP OFREP `yaml:"ofrep" doc:"A server that speaks the OpenFeature Remote Evaluation Protocol: flagd, GO Feature Flag, Flipt and others."`
}

// OFREP is a flag server. The secrets in its files are read again for each
// request.
type OFREP struct {
	URL        string        `yaml:"url" required:"true" doc:"Base address, before /ofrep/v1."`
	TokenFile  string        `yaml:"token-file" file:"" doc:"File with a bearer token."`
	APIKeyFile string        `yaml:"api-key-file" file:"" doc:"File with an API key, sent as X-API-Key."`
	CA         string        `yaml:"ca" file:"" doc:"File of certificate authorities to trust, instead of the system's."`
	Poll       time.Duration `yaml:"poll" default:"30s" doc:"How often the flags of all jurisdictions are asked for."`
	Timeout    time.Duration `yaml:"timeout" default:"10s" doc:"How long one request may take."`
}

// An AccessLog has a line for each exchange. The zero one is off.
type AccessLog struct {
	File string `yaml:"file" file:"-" doc:"Where lines of JSON are appended; - for standard output. It is opened again on SIGHUP. Without one there is no access log."`
}

// Plain is the listener without TLS. An address alone is short for one that redirects.
type Plain struct {
	Address string `yaml:"address" required:"true" doc:"Where it listens."`
	Serve   bool   `yaml:"serve" doc:"Serve what trusted proxies have received over TLS, that they end. Everything else is redirected."`
}

// UnmarshalText reads the shorthand: an address.
func (p *Plain) UnmarshalText(text []byte) error {
	*p = Plain{Address: string(text)}
	return nil
}

// Admin is the listener for operators. It is never the public one.
type Admin struct {
	Listen string   `yaml:"listen" default:"127.0.0.1:8600" doc:"Loopback address for the API, /metrics, /healthz, /readyz and OFREP; with tls: any address. Empty turns it off; the socket admin.sock in the data folder is always there."`
	TLS    AdminTLS `yaml:"tls" doc:"Certificates for the admin listener. Whoever connects has to show one, too."`
	Hosts  []string `yaml:"hosts" doc:"Names that the admin listener is asked for, beside loopback's."`
	Probes string   `yaml:"probes" doc:"Any address for /healthz and /readyz alone, as :8601, for an orchestrator's probes: they say yes or no, and not why."`
	// Metrics has that listener answer /metrics, too.
	Metrics bool `yaml:"metrics" doc:"Have the listener for probes answer /metrics, too, to whoever reaches it: no addresses are in them, but the policy's jurisdictions and what they get."`
}

// AdminTLS is mutual TLS.
type AdminTLS struct {
	Cert     string `yaml:"cert" file:"" required:"true" doc:"Certificate chain, PEM."`
	Key      string `yaml:"key" file:"" required:"true" doc:"Its private key, PEM."`
	ClientCA string `yaml:"client-ca" file:"" required:"true" doc:"File of certificate authorities that sign clients' certificates."`
}

// Limits bound what one client may take.
type Limits struct {
	Header          int64         `yaml:"header" default:"65536" doc:"Bytes of a request's header."`
	Body            int64         `yaml:"body" reload:"true" default:"0" doc:"Bytes of a request's body; 0: no limit."`
	Bodies          int           `yaml:"bodies" reload:"true" default:"4096" doc:"Requests with a body, but for gRPC, that are under way for an app at a time; 0: no limit."`
	BodyRate        int           `yaml:"body-rate" reload:"true" default:"256" doc:"Bytes a second at which a client must send a body, on average; 0: no limit."`
	Connections     int           `yaml:"connections" default:"32768" doc:"Connections of clients at a time, on each public listener; others wait. 0: no limit."`
	HeaderTimeout   time.Duration `yaml:"header-timeout" default:"10s" doc:"Time to send a request's header."`
	IdleTimeout     time.Duration `yaml:"idle-timeout" default:"2m" doc:"Time without a request before a connection is closed."`
	StallTimeout    time.Duration `yaml:"stall-timeout" default:"1m" doc:"Time in which a client sends or takes nothing of a body before it is cut off."`
	ConnectTimeout  time.Duration `yaml:"connect-timeout" reload:"true" default:"5s" doc:"Time to connect to an upstream."`
	UpstreamTimeout time.Duration `yaml:"upstream-timeout" reload:"true" default:"1m" doc:"Time for an upstream to begin its answer, or to go on with one of known length."`
}

// Default returns the settings that hold where nothing else is set.
func Default() Config {
	return Config{
		Listen:       Listen{HTTPS: ":8443", HTTP: Plain{Address: ":8080"}, Engine: Standard},
		ClientHeader: "X-Forwarded-For",
		TLS:          TLS{ACME: ACME{DNS: DNSHook{Timeout: 5 * time.Minute}}},
		Caches:       Caches{Purge: Purge{Timeout: 30 * time.Second}},
		Geo:          Geo{MaxAge: 60 * 24 * time.Hour, Hold: GeoHold{Coverage: 10, Jurisdiction: 33}},
		Policy:       PolicySource{Ledger: Ledger{Replicas: 3, Name: "exitgate"}},
		Admin:        Admin{Listen: "127.0.0.1:8600"},
		Drain:        30 * time.Second,
		Limits: Limits{
			Header:          64 << 10,
			Bodies:          4096,
			BodyRate:        256,
			Connections:     32768,
			HeaderTimeout:   10 * time.Second,
			IdleTimeout:     2 * time.Minute,
			StallTimeout:    time.Minute,
			ConnectTimeout:  5 * time.Second,
			UpstreamTimeout: time.Minute,
		},
	}
}

// Parse reads a settings file. file is its name for error messages; names of other files
// in it are relative to its folder, unless it is a device, as /dev/stdin. The error, a
// strictyaml.Errors, lists everything that is wrong.
func Parse(file string, source []byte) (Config, error) {
	c, doc := parse(file, source)
	return c, doc.Err()
}

// Check reads a settings file as Parse does, and has look find what else is wrong with it,
// and what to warn of: with a Config that may have faults, which are zero in there. It
// returns the warnings, and the error with all that is wrong.
func Check(file string, source []byte, look func(Config) (wrong, warnings []Fault)) ([]*strictyaml.Diagnostic, error) {
	c, doc := parse(file, source)
	wrong, warnings := look(c)
	for _, f := range wrong {
		doc.Errorf(f.Advice, f.Path, "%s", f.Message)
	}
	for _, f := range warnings {
		doc.Warnf(f.Advice, f.Path, "%s", f.Message)
	}
	return doc.Warnings(), doc.Err()
}

func parse(file string, source []byte) (Config, *strictyaml.Document) {
	c := Default()
	doc := strictyaml.Decode(file, source, &c)
	if !strings.HasPrefix(file, "/dev/") {
		resolvePaths(&c, filepath.Dir(file))
	}
	for _, f := range c.faults() {
		doc.Errorf(f.Advice, f.Path, "%s", f.Message)
	}
	if said := doc.Keys("policy"); slices.Contains(said, "file") && slices.Contains(said, "ledger") && len(c.Policy.Ledger.NATS) == 0 {
		doc.Errorf("remove one of the two", []any{"policy", "ledger"}, "the policy comes from the file %s already", c.Policy.File)
	}
	return c, doc
}

// Schema returns the JSON Schema of the settings file, for editors.
func Schema() []byte {
	return strictyaml.Schema(Config{}, "https://exitgate.example/exitgate.schema.json", "exitgate settings")
}

// Validate returns what is wrong with a Config, wherever it came from.
func (c Config) Validate() error {
	var wrong []error
	for _, p := range c.faults() {
		wrong = append(wrong, fmt.Errorf("%s; %s", p.Message, p.Advice))
	}
	if len(c.Apps) == 0 {
		wrong = append(wrong, errors.New("there is no app to stand in front of; add one under apps:, or give --to URL"))
	}
	return errors.Join(wrong...)
}

// A Fault is something in a Config that can't be: where in the file it is, keys and
// indexes, and what would be right.
type Fault struct {
	Path            []any
	Message, Advice string
}

func (c Config) faults() []Fault {
	var found []Fault
	report := func(advice string, path []any, format string, args ...any) {
		found = append(found, Fault{path, fmt.Sprintf(format, args...), advice})
	}
	found = append(found, c.listenFaults()...)
	found = append(found, c.sharedPorts()...)
	if a := c.Admin.Listen; a != "" && !isListenAddress(a) {
		report("write HOST:PORT, as in 127.0.0.1:8600, with a port from 0 (any) to 65535", []any{"admin", "listen"}, "%q is not an address to listen on", a)
	} else if a != "" && !isLoopback(a) && c.Admin.TLS == (AdminTLS{}) {
		report("listen on loopback, as in 127.0.0.1:8600, or let clients show certificates: set tls:", []any{"admin", "listen"}, "%q is not a loopback address", a)
	}
	if a := c.Admin.Probes; a != "" && !isListenAddress(a) {
		report("write HOST:PORT or :PORT, as in :8601, with a port from 0 (any) to 65535", []any{"admin", "probes"}, "%q is not an address to listen on", a)
	}
	if c.Admin.Metrics && c.Admin.Probes == "" {
		report(`give probes an address, as in ":8601"; the admin listener has them in any case`, []any{"admin", "metrics"}, "there is no listener for probes that could answer /metrics")
	}
	found = append(found, c.Policy.faults()...)
	found = append(found, c.Caches.faults(c.TrustedProxies)...)
	found = append(found, c.tlsFaults()...)
	for i, n := range c.Notify {
		found = append(found, n.faults(i)...)
	}
	seen := map[string]bool{}
	for i, app := range c.Apps {
		if len(app.Upstreams) == 0 {
			report("give one, as in http://127.0.0.1:3000", []any{"apps", i, "upstreams"}, "the app has no upstreams")
		}
		if len(app.Hosts) == 0 {
			report(`give its names, or "*" for any`, []any{"apps", i, "hosts"}, "the app has no hosts")
		}
		for j, host := range app.Hosts {
			path := []any{"apps", i, "hosts", j}
			if !isHostPattern(host) {
				report("write a name without port and scheme, as in example.org, *.example.org or *", path, "%q is not a host", host)
			} else if seen[host] {
				report("remove one", path, "host %s has two apps", host)
			}
			seen[host] = true
		}
		for _, p := range app.credentialFaults() {
			report(p.Advice, append([]any{"apps", i}, p.Path...), "%s", p.Message)
		}
	}
	l := c.Limits
	for field, d := range map[string]time.Duration{
		"header-timeout": l.HeaderTimeout, "idle-timeout": l.IdleTimeout, "stall-timeout": l.StallTimeout,
		"connect-timeout": l.ConnectTimeout, "upstream-timeout": l.UpstreamTimeout,
	} {
		if d <= 0 {
			report("give a time, as in 30s", []any{"limits", field}, "%s is %s", field, d)
		}
	}
	if o := c.Flags.OFREP; o != (OFREP{}) {
		if o.Poll != 0 && (o.Poll < time.Second || o.Poll > time.Hour) {
			report("give a time from 1s to 1h", []any{"flags", "ofrep", "poll"}, "poll is %s", o.Poll)
		}
		if o.Timeout != 0 && (o.Timeout < 100*time.Millisecond || o.Timeout > time.Minute) {
			report("give a time from 100ms to 1m", []any{"flags", "ofrep", "timeout"}, "timeout is %s", o.Timeout)
		}
	}
	if l.Header < 1<<10 || l.Header > 16<<20 {
		report("give between 1024 and 16777216 bytes", []any{"limits", "header"}, "a limit of %d bytes for a header", l.Header)
	}
	for field, n := range map[string]int{"bodies": l.Bodies, "body-rate": l.BodyRate, "connections": l.Connections} {
		if n < 0 {
			report("give a number, or 0 for no limit", []any{"limits", field}, "%s is %d", field, n)
		}
	}
	if l.Body < 0 {
		report("give a number of bytes, or 0 for no limit", []any{"limits", "body"}, "a limit of %d bytes for a body", l.Body)
	}
	for field, percent := range map[string]int{"coverage": c.Geo.Hold.Coverage, "jurisdiction": c.Geo.Hold.Jurisdiction} {
		if percent < 0 || percent > 100 {
			report("give a number from 1 to 100, or 0 to look at nothing of the kind", []any{"geo", "hold", field}, "%d percent", percent)
		}
	}
	if c.Geo.MaxAge < 0 {
		report("give a time, as in 1440h, or 0 for no limit", []any{"geo", "max-age"}, "max-age is %s", c.Geo.MaxAge)
	}
	for field, d := range map[string]time.Duration{"drain": c.Drain, "drain-delay": c.DrainDelay} {
		if d < 0 {
			report("give a time, as in 30s", []any{field}, "%s is %s", field, d)
		}
	}
	slices.SortFunc(found, func(a, b Fault) int { return strings.Compare(fmt.Sprint(a.Path), fmt.Sprint(b.Path)) })
	return found
}

// credentialFaults are what is wrong with what the app's upstreams are shown,
// and go by.
func (a App) credentialFaults() (found []Fault) {
	isHTTPS := func(upstream string) bool { return strings.HasPrefix(strings.ToLower(upstream), "https:") }
	if (a.Cert == "") != (a.Key == "") {
		found = append(found, Fault{[]any{"cert"}, "a certificate without its key, or a key alone", "give both cert and key"})
	} else if a.Cert != "" && !slices.ContainsFunc(a.Upstreams, isHTTPS) {
		found = append(found, Fault{[]any{"cert"}, "there is no https upstream that the certificate could be shown to", "write the upstream as https://HOST:PORT, or remove cert and key"})
	}
	switch name := a.ServerName; {
	case name == "":
	case name == "*" || strings.HasPrefix(name, "*.") || !isHostPattern(name):
		found = append(found, Fault{[]any{"server-name"}, fmt.Sprintf("%q is not a name that a certificate is for", name), "write it as in its certificate, as app.internal"})
	case !slices.ContainsFunc(a.Upstreams, isHTTPS):
		found = append(found, Fault{[]any{"server-name"}, "there is no https upstream that could show a certificate", "write the upstream as https://HOST:PORT, or remove server-name"})
	}
	return found
}

func (c Caches) faults(trusted []netip.Prefix) (found []Fault) {
	report := func(advice, message string, path ...any) {
		found = append(found, Fault{append([]any{"caches"}, path...), message, advice})
	}
	switch key := c.KeyHeader; {
	case key == "":
	case !httpguts.ValidHeaderFieldName(key):
		report("write a name, as in X-Country", fmt.Sprintf("%q is not the name of a header", key), "key-header")
	case len(trusted) == 0:
		report("name the caches' networks in trusted-proxies", "nobody is trusted to send the key of a cache", "key-header")
	}
	p := c.Purge
	if len(p.Command) > 0 && p.Command[0] == "" {
		report("begin with the path of a program", "the command has no program", "purge", "command")
	}
	if u, err := url.Parse(p.URL); p.URL != "" && (err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && loopback.IsHost(u.Hostname()))) {
		report("write https://HOST/PATH; http:// only to loopback", "it is not an address to send purges to", "purge", "url")
	}
	if p.URL == "" && (p.TokenFile != "" || p.CA != "") {
		report("give the url, or remove them", "there is a token-file or a ca for a url, and no url", "purge")
	}
	if p.IsSet() && (p.Timeout < 100*time.Millisecond || p.Timeout > 10*time.Minute) {
		report("give a time from 100ms to 10m", fmt.Sprintf("timeout is %s", p.Timeout), "purge", "timeout")
	}
	return found
}

func (s PolicySource) faults() (found []Fault) {
	report := func(advice, field, format string, args ...any) {
		found = append(found, Fault{[]any{"policy", "ledger", field}, fmt.Sprintf(format, args...), advice})
	}
	l := s.Ledger
	if s.File != "" && len(l.NATS) > 0 {
		report("remove one of the two", "nats", "the policy comes from the file %s already", s.File)
	}
	if len(l.NATS) == 0 && (l.Credentials != "" || l.TLS != (ClientCert{}) || l.Domain != "" || l.Mirror != "") {
		report("give the servers, as in [nats://10.0.0.1:4222]", "nats", "there are settings for a NATS cluster, but no server")
	}
	for _, server := range l.NATS {
		if u, err := url.Parse(server); err != nil || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) || u.Host == "" {
			report("write nats://HOST:PORT or tls://HOST:PORT", "nats", "there is something that isn't a server's address")
		}
	}
	if l.Replicas < 0 || l.Replicas > 5 {
		report("give 1, 3 or 5", "replicas", "%d replicas", l.Replicas)
	}
	if (l.TLS.Cert == "") != (l.TLS.Key == "") {
		report("give both cert and key", "tls", "a certificate without its key, or a key alone")
	}
	return found
}

// listenFaults returns what is wrong with the public listeners.
func (c Config) listenFaults() (found []Fault) {
	report := func(advice, message string, path ...any) {
		found = append(found, Fault{append([]any{"listen"}, path...), message, advice})
	}
	plain := c.Listen.HTTP
	for _, l := range []struct {
		address string
		path    []any
	}{{c.Listen.HTTPS, []any{"https"}}, {plain.Address, []any{"http"}}, {c.Listen.Decisions, []any{"decisions"}}} {
		if l.address != "" && !isListenAddress(l.address) {
			report(`write HOST:PORT or :PORT, as in ":8443", with a port from 0 (any) to 65535`, fmt.Sprintf("%q is not an address to listen on", l.address), l.path...)
		}
	}
	switch c.Listen.Engine {
	case "", Standard, Fast:
	default:
		report("write standard or fast", fmt.Sprintf("there is no engine %.40q", c.Listen.Engine), "engine")
	}
	switch port := c.Listen.HTTP3; {
	case port == 0:
	case port < 0 || port > 65535:
		report("give a port, as 443, or 0 for no HTTP/3", fmt.Sprintf("%d is no port", port), "http3")
	case c.Listen.HTTPS == "":
		report("give https an address, or remove http3", "there is no HTTPS listener beside which HTTP/3 could be served", "http3")
	case len(c.ProxyProtocol) > 0:
		report("remove http3, or proxy-protocol", "HTTP/3 can't be served behind the PROXY protocol", "http3")
	}
	if c.Listen.HTTPS == "" && !plain.Serve {
		report(`give an address, as in ":8443"; or let http serve what a proxy has received over TLS`, "there is no HTTPS listener", "https")
	}
	if c.Listen.HTTPS == "" && (c.TLS.ACME.IsSet() || len(c.TLS.Files) > 0) {
		report("give https an address, or remove tls", "there are certificates, and no HTTPS listener to show them", "https")
	}
	if c.Listen.Decisions != "" && len(c.TrustedProxies) == 0 {
		report("name the networks of the proxies that ask in trusted-proxies", "nobody is trusted to ask for decisions", "decisions")
	}
	switch {
	case !plain.Serve:
	case plain.Address == "":
		report(`give address, as in ":8080"`, "it is to serve, and listens nowhere", "http")
	case len(c.TrustedProxies)+len(c.ProxyProtocol) == 0:
		report("name the networks of what ends TLS in trusted-proxies, or in proxy-protocol if it speaks that", "nobody is trusted to have received anything over TLS", "http", "serve")
	}
	return found
}

// sharedPorts returns the listeners that can't listen beside another one.
func (c Config) sharedPorts() (found []Fault) {
	type listener struct {
		address string
		path    []any
	}
	all := []listener{
		{c.Listen.HTTPS, []any{"listen", "https"}}, {c.Listen.HTTP.Address, []any{"listen", "http"}}, {c.Listen.Decisions, []any{"listen", "decisions"}},
		{c.Admin.Listen, []any{"admin", "listen"}}, {c.Admin.Probes, []any{"admin", "probes"}},
	}
	for i, l := range all {
		for _, other := range all[:i] {
			if conflict(l.address, other.address) {
				found = append(found, Fault{l.path, fmt.Sprintf("%v.%v listens at %q already", other.path[0], other.path[1], other.address), "choose another port"})
				break
			}
		}
	}
	return found
}

// conflict reports whether nobody can listen at both of two addresses.
func conflict(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil {
		return false
	}
	numberA, errA := net.LookupPort("tcp", portA)
	numberB, errB := net.LookupPort("tcp", portB)
	isAny := func(host string) bool { return host == "" || host == "::" }
	return errA == nil && errB == nil && numberA == numberB && numberA != 0 && (hostA == hostB || isAny(hostA) || isAny(hostB))
}

func isListenAddress(address string) bool {
	_, port, err := net.SplitHostPort(address)
	if err != nil || port == "" {
		return false
	}
	_, err = net.LookupPort("tcp", port) // a number, or a name as https
	return err == nil
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && loopback.IsHost(host)
}

func isHostPattern(host string) bool {
	if host == "*" {
		return true
	}
	name := strings.TrimPrefix(host, "*.")
	if name == "" || len(name) > 253 || name != strings.ToLower(name) {
		return false
	}
	if ip, err := netip.ParseAddr(name); err == nil {
		return ip.Is4() && name == host
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}
