package client_test

import (
	"errors"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/exitgate/exitgate/gateway/client"
)

func FuzzXForwardedFor(f *testing.F) {
	trusting := resolver(f, "X-Forwarded-For")
	f.Fuzz(func(t *testing.T, first, last string) {
		lines := []string{first, last}
		check(t, trusting, "X-Forwarded-For", lines, naive(lines, naiveListed))
	})
}

func FuzzForwarded(f *testing.F) {
	trusting := resolver(f, "Forwarded")
	f.Fuzz(func(t *testing.T, first, last string) {
		lines := []string{first, last}
		check(t, trusting, "Forwarded", lines, naive(lines, naiveForwarded))
	})
}

// check compares what Address finds with what a naive reading of the header
// finds, and holds it to what it promises of every result.
func check(t *testing.T, f *client.Resolver, name string, lines []string, want netip.Addr) {
	t.Helper()
	got, err := f.Address(netip.MustParseAddr(proxy), http.Header{name: lines})
	rejection, rejected := errors.AsType[client.Rejection](err)
	switch {
	case err != nil && (!rejected || !slices.Contains(client.Rejections(), rejection)):
		t.Fatalf("%q: %v is not a Rejection", lines, err)
	case err != nil && got.IsValid():
		t.Fatalf("%q: rejected, with the address %v", lines, got)
	case err == nil && (!got.IsValid() || got.Is4In6() || got.Zone() != ""):
		t.Fatalf("%q: %v is not plain", lines, got)
	case rejection != client.TooLong && got != want:
		t.Fatalf("%q: got %v (%v), a naive reading finds %v", lines, got, err, want)
	}
}

// naive reads a list header in the simplest way there is: all elements of all
// lines, from the right. It returns the zero Addr where it finds nobody.
func naive(lines []string, read func(element string) netip.Addr) netip.Addr {
	var client netip.Addr
	for _, element := range slices.Backward(strings.Split(strings.Join(lines, ","), ",")) {
		client = read(strings.Trim(element, " \t"))
		if !slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(client) }) {
			return client
		}
	}
	return client
}

// The grammars, as regular expressions.
var (
	naivePort = `(:(\d{1,5}|_[A-Za-z0-9._-]+))?`
	naiveNode = regexp.MustCompile(`^(?:([^:\[\]]+)|\[([^\[\]]*:[^\[\]]*)\])` + naivePort + `$`)

	naiveToken  = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
	naiveQuoted = `"((?:[\t !#-\[\]-~]|[^\x00-\x7f]|\\(?:[\t -~]|[^\x00-\x7f]))*)"`
	naivePair   = regexp.MustCompile(`^[ \t;]*(` + naiveToken + `)=(?:(` + naiveToken + `)|` + naiveQuoted + `)[ \t]*(;|$)`)
	naiveEscape = regexp.MustCompile(`\\(?s:(.))`)
	naiveZone   = regexp.MustCompile(`^(?i:(fe[89ab][0-9a-f]:.*))%(?s:.)+$`)
)

func naiveListed(element string) netip.Addr {
	if strings.Count(element, ":") > 1 && !strings.HasPrefix(element, "[") {
		return naiveAddress(element)
	}
	return naiveNamed(element)
}

func naiveNamed(node string) netip.Addr {
	parts := naiveNode.FindStringSubmatch(node)
	if parts == nil || strings.HasPrefix(parts[1], "_") {
		return netip.Addr{}
	}
	if port := parts[4]; len(port) == 5 && port[0] != '_' && port > "65535" {
		return netip.Addr{}
	}
	return naiveAddress(parts[1] + parts[2])
}

func naiveAddress(s string) netip.Addr {
	addr, _ := netip.ParseAddr(naiveZone.ReplaceAllString(s, "$1"))
	if addr.Zone() != "" {
		return netip.Addr{}
	}
	return addr.Unmap()
}

func naiveForwarded(element string) netip.Addr {
	seen := map[string]string{}
	for rest := element; strings.Trim(rest, " \t;") != ""; {
		pair := naivePair.FindStringSubmatch(rest)
		if pair == nil {
			return netip.Addr{}
		}
		name := strings.ToLower(pair[1])
		if _, twice := seen[name]; twice {
			return netip.Addr{}
		}
		seen[name] = pair[2] + naiveEscape.ReplaceAllString(pair[3], "$1")
		rest = rest[len(pair[0]):]
	}
	return naiveNamed(seen["for"])
}
