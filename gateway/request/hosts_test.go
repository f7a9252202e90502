package request

import (
	"net/netip"
	"strings"
	"testing"
)

func TestTheHostOfARequest(t *testing.T) {
	for host, want := range map[string]string{
		"example.org":              "example.org",
		"Example.ORG":              "example.org",
		"example.org.":             "example.org",
		"example.org:8443":         "example.org",
		"example.org.:8443":        "example.org",
		"example.org:":             "example.org",
		"example.org:0":            "example.org",
		"localhost":                "localhost",
		"a_b.example":              "a_b.example",
		"xn--mnchen-3ya.example":   "xn--mnchen-3ya.example",
		"192.0.2.1:80":             "192.0.2.1",
		"[2001:DB8:0::1]:443":      "2001:db8::1",
		"[::1]":                    "::1",
		"[::ffff:192.0.2.1]":       "::ffff:192.0.2.1",
		strings.Repeat("a", 253):   strings.Repeat("a", 253),
		"":                         "",
		".":                        "",
		":":                        "",
		":443":                     "",
		"..":                       "",
		".example.org":             "",
		"example..org":             "",
		"example.org..":            "",
		"example.org:x":            "",
		"example.org:-1":           "",
		"example.org:123456":       "",
		"example.org:80:80":        "",
		"example.org:8 0":          "",
		"example.org/":             "",
		"example.org,evil.example": "",
		"user@example.org":         "",
		"exa mple.org":             "",
		"exämple.org":              "",
		"example.org\x00":          "",
		"example.org%2f":           "",
		"2001:db8::1":              "",
		"[2001:db8::1":             "",
		"[2001:db8::1]x":           "",
		"[2001:db8::1]:x":          "",
		"[192.0.2.1]":              "",
		"[fe80::1%eth0]":           "",
		"[]":                       "",
		strings.Repeat("a", 254):   "",
		"*":                        "",
		"*.example.org":            "",
	} {
		got, ok := Hostname(host)
		if got != want || ok != (want != "") {
			t.Errorf("%q is for %q, %v; want %q", host, got, ok, want)
		}
	}
}

func TestHostsFindsAnExactNameThenAWildcardThenAny(t *testing.T) {
	patterns := map[string]string{"*": "any"}
	for _, pattern := range []string{"example.org", "*.example.org", "www.example.org", "192.0.2.1"} {
		patterns[pattern] = pattern
	}
	all := NewHosts(patterns)
	delete(patterns, "*")
	named := NewHosts(patterns)
	for host, want := range map[string]string{
		"example.org": "example.org", "www.example.org": "www.example.org", "x.example.org": "*.example.org", "192.0.2.1": "192.0.2.1",
		"x.y.example.org": "", "badexample.org": "", "org": "", "::1": "",
	} {
		if got, ok := named.Find(host); got != want || ok != (want != "") {
			t.Errorf("%s is found as %q, want %q", host, got, want)
		}
		if want == "" {
			want = "any"
		}
		if got, ok := all.Find(host); got != want || !ok {
			t.Errorf("with any, %s is found as %q, want %q", host, got, want)
		}
	}
}

func FuzzHostname(f *testing.F) {
	for _, seed := range []string{"example.org:443", "Example.ORG.", "[::1]:80", "[fe80::1%25eth0]", "a..b", "user@host", "\x00", "*.example.org"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, host string) {
		name, ok := Hostname(host)
		if !ok {
			if name != "" {
				t.Errorf("%q is no host, but %q", host, name)
			}
			return
		}
		if name == "" || len(name) > 253 || name != strings.ToLower(name) || strings.ContainsAny(name, "[]/@,%* \t\r\n\x00") {
			t.Errorf("%q is for %q", host, name)
		}
		again := name
		if strings.Contains(name, ":") {
			if _, err := netip.ParseAddr(name); err != nil {
				t.Errorf("%q is for %q", host, name)
			}
			again = "[" + name + "]"
		}
		if same, ok := Hostname(again); !ok || same != name {
			t.Errorf("%q is for %q, and that for %q", host, name, same)
		}
	})
}
