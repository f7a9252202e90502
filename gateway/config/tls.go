package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/exitgate/exitgate/internal/loopback"
)

// TLS says which certificates the public listener shows.
type TLS struct {
	SelfSigned bool       `yaml:"self-signed" doc:"Make a certificate of one's own, kept in the data folder: for development."`
	Files      []CertFile `yaml:"files" reload:"true" doc:"Certificates and keys as PEM files, read again when they change."`
	HSTS       HSTS       `yaml:"hsts" reload:"true" doc:"Have browsers come back by HTTPS only (RFC 6797): said on all answers, refusals too, in place of what the app says."`
	ACME       ACME       `yaml:"acme" doc:"Obtain certificates for the hosts of apps that no file has one for, and renew them. Ports 80 or 443 of each host must lead here."`
}

// HSTS is HTTP Strict Transport Security.
type HSTS struct {
	MaxAge            time.Duration `yaml:"max-age" required:"true" doc:"How long browsers remember it, in whole seconds."`
	IncludeSubdomains bool          `yaml:"include-subdomains" doc:"It holds for all names below the host, too."`
	Preload           bool          `yaml:"preload" doc:"Browsers may have it built in. Hard to undo: see hstspreload.org."`
}

// Header returns the value of Strict-Transport-Security, "" if it isn't set.
func (h HSTS) Header() string {
	if h.MaxAge == 0 {
		return ""
	}
	value := fmt.Sprintf("max-age=%d", int64(h.MaxAge/time.Second))
	if h.IncludeSubdomains {
		value += "; includeSubDomains"
	}
	if h.Preload {
		value += "; preload"
	}
	return value
}

// A CertFile is a certificate with its key.
type CertFile struct {
	Cert string `yaml:"cert" file:"" required:"true" doc:"Certificate chain, PEM."`
	Key  string `yaml:"key" file:"" required:"true" doc:"Private key, PEM."`
}

// ACME says where certificates are obtained, and how.
type ACME struct {
	Email     string       `yaml:"email" required:"true" doc:"Address of the account, for the authority to write to. To give it is to agree to the authority's terms of service."`
	Directory string       `yaml:"directory" doc:"URL of the authority's directory. Default: Let's Encrypt."`
	Roots     string       `yaml:"roots" file:"" doc:"File of authorities to trust for the directory, instead of the system's."`
	EAB       EAB          `yaml:"eab" doc:"Binds the account to one that the authority knows."`
	Fallbacks []ACMEIssuer `yaml:"fallbacks" doc:"Authorities to ask, in turn, when the first doesn't issue."`
	DNS       DNSHook      `yaml:"dns" doc:"Validate names by DNS records that a program makes, instead of over ports 80 and 443: for wildcards, and for hosts that cannot be reached."`
}

// IsSet reports whether certificates are to be obtained.
func (a ACME) IsSet() bool { return a.Email != "" }

// Issuers returns the authorities to ask, in turn.
func (a ACME) Issuers() []ACMEIssuer {
	return append([]ACMEIssuer{{Directory: a.Directory, Roots: a.Roots, EAB: a.EAB}}, a.Fallbacks...)
}

// An ACMEIssuer is an authority that issues certificates by ACME.
type ACMEIssuer struct {
	Directory string `yaml:"directory" required:"true" doc:"URL of the authority's directory."`
	Roots     string `yaml:"roots" file:"" doc:"File of authorities to trust for the directory, instead of the system's."`
	EAB       EAB    `yaml:"eab" doc:"Binds the account to one that the authority knows."`
}

// EAB is an external account binding (RFC 8555, section 7.3.4).
type EAB struct {
	KeyID   string `yaml:"key-id" required:"true" doc:"Identifier of the key, from the authority."`
	KeyFile string `yaml:"key-file" file:"" required:"true" doc:"File with the MAC key, base64url, from the authority."`
}

// A DNSHook is a program that makes DNS records.
type DNSHook struct {
	Command []string      `yaml:"command" doc:"Program with its first arguments, without a shell; add or remove, the name of the TXT record and its value follow. add: exit code 0 when the record can be seen."`
	Timeout time.Duration `yaml:"timeout" default:"5m" doc:"How long it may take."`
}

func (c Config) tlsFaults() (found []Fault) {
	report := func(advice, message string, path ...any) {
		found = append(found, Fault{append([]any{"tls"}, path...), message, advice})
	}
	if len(c.TLS.Files) > 0 && c.TLS.SelfSigned {
		report("remove self-signed", "there are certificate files already", "self-signed")
	}
	switch h := c.TLS.HSTS; {
	case h.MaxAge < 0 || h.MaxAge%time.Second != 0:
		report("give a time in whole seconds, as in 8760h", fmt.Sprintf("max-age is %s", h.MaxAge), "hsts", "max-age")
	case h.Preload && (h.MaxAge < 365*24*time.Hour || !h.IncludeSubdomains):
		report("give max-age: 8760h and include-subdomains: true, or remove preload", "browsers preload a host for a year at least, with all names below it", "hsts", "preload")
	}
	a := c.TLS.ACME
	if !a.IsSet() {
		return found
	}
	if c.TLS.SelfSigned {
		report("remove self-signed", "certificates are obtained by acme already", "self-signed")
	}
	if _, domain, ok := strings.Cut(a.Email, "@"); !ok || domain == "" || strings.ContainsAny(a.Email, " \t,;<>") {
		report("write it as ops@example.org", fmt.Sprintf("%q is not an email address", a.Email), "acme", "email")
	}
	for i, issuer := range a.Issuers() {
		path := []any{"acme"}
		if i > 0 {
			path = append(path, "fallbacks", i-1)
		}
		if issuer.Directory != "" && !isDirectory(issuer.Directory) {
			report("write https://HOST/PATH", fmt.Sprintf("%q is not the address of an ACME directory", issuer.Directory), append(path, "directory")...)
		}
	}
	hooked := len(a.DNS.Command) > 0
	if hooked && a.DNS.Command[0] == "" {
		report("begin with the path of a program", "the command has no program", "acme", "dns", "command")
	}
	if hooked && (a.DNS.Timeout < time.Second || a.DNS.Timeout > time.Hour) {
		report("give a time from 1s to 1h", fmt.Sprintf("timeout is %s", a.DNS.Timeout), "acme", "dns", "timeout")
	}
	if len(c.TLS.Files) > 0 {
		return found // which may be for the hosts below
	}
	for i, app := range c.Apps {
		for j, host := range app.Hosts {
			if advice, message := Unobtainable(host, hooked); message != "" {
				found = append(found, Fault{[]any{"apps", i, "hosts", j}, message, advice})
			}
		}
	}
	return found
}

// Unobtainable returns why no certificate can be obtained by ACME for a host, and
// what to do; "" if it can. Wildcards are validated by DNS alone.
func Unobtainable(host string, byDNS bool) (advice, message string) {
	switch _, notIP := netip.ParseAddr(host); {
	case host == "*":
		return "name the hosts, as in hosts: [example.org], or --host example.org", `no certificate can be obtained for any host: "*"`
	case notIP == nil:
		return "give its certificate under tls.files", "no certificate is obtained for an IP address: " + host
	case strings.HasPrefix(host, "*.") && !byDNS:
		return "set tls.acme.dns, or name each host", "a certificate for " + host + " can only be obtained by DNS"
	}
	return "", ""
}

func isDirectory(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && loopback.IsHost(u.Hostname()))
}
