package client_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/exitgate/exitgate/gateway/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// In all tests the operator's proxies are in 10.0.0.0/8 and 2001:db8:ffff::/48,
// and on link-local addresses.
var proxies = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("2001:db8:ffff::/48"),
	netip.MustParsePrefix("fe80::/10"),
}

const (
	proxy    = "10.0.0.1"
	stranger = "203.0.113.9"
)

func resolver(t testing.TB, header string) *client.Resolver {
	t.Helper()
	f, err := client.NewResolver(client.Trust{Proxies: proxies, Header: header})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// headerOf builds a header as net/http reads it, from "Name: value" lines.
func headerOf(lines ...string) http.Header {
	h := http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		h.Add(name, strings.Trim(value, " "))
	}
	return h
}

// outcome is the address found, or the reason why none was.
func outcome(f *client.Resolver, peer string, header http.Header) string {
	addr, err := f.Address(netip.MustParseAddr(peer), header)
	if err == nil {
		return addr.String()
	}
	rejection, ok := errors.AsType[client.Rejection](err)
	switch {
	case !ok:
		return "not a rejection: " + err.Error()
	case addr.IsValid():
		return "rejected with an address: " + addr.String()
	}
	return string(rejection)
}

func TestAddress(t *testing.T) {
	for _, test := range []struct {
		name   string
		trusts string // Trust.Header
		peer   string
		header []string
		want   string
	}{
		// Peers.
		{"a stranger is who its connection says", "", stranger, nil, stranger},
		{"a stranger's X-Forwarded-For is not read", "", stranger, []string{"X-Forwarded-For: 6.6.6.6"}, stranger},
		{"a stranger's Forwarded is not read", "Forwarded", stranger, []string{"Forwarded: for=6.6.6.6"}, stranger},
		{"a stranger's single-address header is not read", "CF-Connecting-IP", stranger, []string{"CF-Connecting-IP: 6.6.6.6"}, stranger},
		{"a stranger's garbage is not even rejected", "", stranger, []string{"X-Forwarded-For: \x7f,,", "Forwarded: \""}, stranger},
		{"an IPv4-mapped stranger is an IPv4 one", "", "::ffff:203.0.113.9", nil, stranger},
		{"an IPv4-mapped proxy is an IPv4 one", "", "::ffff:10.0.0.1", []string{"X-Forwarded-For: 1.2.3.4"}, "1.2.3.4"},
		{"a stranger's zone is dropped", "", "2001:db8::1%eth0", nil, "2001:db8::1"},
		{"a proxy's zone is dropped", "", "fe80::1%eth0", []string{"X-Forwarded-For: 1.2.3.4"}, "1.2.3.4"},

		// No header.
		{"without a header the request is the proxy's own", "", proxy, nil, proxy},
		{"without a Forwarded header as well", "Forwarded", proxy, nil, proxy},
		{"without a single-address header as well", "X-Real-IP", proxy, nil, proxy},
		{"X-Forwarded-For is missing but Forwarded shows that somebody is forwarded", "", proxy, []string{"Forwarded: for=1.2.3.4"}, "missing"},
		{"Forwarded is missing but X-Forwarded-For shows that somebody is forwarded", "Forwarded", proxy, []string{"X-Forwarded-For: 1.2.3.4"}, "missing"},
		{"the single address is missing but a list shows that somebody is forwarded", "X-Real-IP", proxy, []string{"X-Forwarded-For: 1.2.3.4"}, "missing"},

		// X-Forwarded-For: which address.
		{"one address is the client", "", proxy, []string{"X-Forwarded-For: 1.2.3.4"}, "1.2.3.4"},
		{"an IPv6 proxy is trusted too", "", "2001:db8:ffff::1", []string{"X-Forwarded-For: 1.2.3.4"}, "1.2.3.4"},
		{"the rightmost untrusted address is the client", "", proxy, []string{"X-Forwarded-For: 6.6.6.6, 1.2.3.4"}, "1.2.3.4"},
		{"trusted addresses are passed over", "", proxy, []string{"X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.2.2.2, 2001:db8:ffff::7"}, "1.2.3.4"},
		{"a trusted address to the left of a stranger is the stranger's invention", "", proxy, []string{"X-Forwarded-For: 10.9.9.9, 1.2.3.4"}, "1.2.3.4"},
		{"if all addresses are trusted the leftmost is the client", "", proxy, []string{"X-Forwarded-For: 10.3.3.3, 10.2.2.2"}, "10.3.3.3"},
		{"the last line is the nearest", "", proxy, []string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 1.2.3.4"}, "1.2.3.4"},
		{"several lines are one list", "", proxy, []string{"X-Forwarded-For: 6.6.6.6, 1.2.3.4", "X-Forwarded-For: 10.2.2.2", "X-Forwarded-For: 10.3.3.3, 10.4.4.4"}, "1.2.3.4"},
		{"garbage to the left of the client changes nothing", "", proxy, []string{"X-Forwarded-For: <script>", "X-Forwarded-For: unknown,,\", 1.2.3.4"}, "1.2.3.4"},
		{"the header's name may be written in lower case", "x-forwarded-for", proxy, []string{"X-Forwarded-For: 1.2.3.4"}, "1.2.3.4"},

		// X-Forwarded-For: how addresses are written.
		{"IPv4 with a port", "", proxy, []string{"X-Forwarded-For: 1.2.3.4:56789"}, "1.2.3.4"},
		{"IPv6", "", proxy, []string{"X-Forwarded-For: 2001:db8::1"}, "2001:db8::1"},
		{"IPv6 in brackets", "", proxy, []string{"X-Forwarded-For: [2001:db8::1]"}, "2001:db8::1"},
		{"IPv6 in brackets with a port", "", proxy, []string{"X-Forwarded-For: [2001:db8::1]:443"}, "2001:db8::1"},
		{"IPv6 in capitals", "", proxy, []string{"X-Forwarded-For: 2001:DB8::A"}, "2001:db8::a"},
		{"IPv4 mapped into IPv6 is IPv4", "", proxy, []string{"X-Forwarded-For: ::ffff:1.2.3.4"}, "1.2.3.4"},
		{"IPv4 mapped into IPv6 in brackets is IPv4", "", proxy, []string{"X-Forwarded-For: [::ffff:1.2.3.4]:80"}, "1.2.3.4"},
		{"a mapped trusted proxy is passed over", "", proxy, []string{"X-Forwarded-For: 1.2.3.4, ::ffff:10.2.2.2"}, "1.2.3.4"},
		{"a link-local address loses its zone", "", proxy, []string{"X-Forwarded-For: 1.2.3.4, fe80::1%eth0"}, "1.2.3.4"},
		{"spaces and tabs around an address", "", proxy, []string{"X-Forwarded-For: 6.6.6.6 ,\t 1.2.3.4 \t"}, "1.2.3.4"},

		// X-Forwarded-For: what is rejected.
		{"an empty value", "", proxy, []string{"X-Forwarded-For:"}, "malformed"},
		{"an empty last line", "", proxy, []string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-For:"}, "malformed"},
		{"an empty last element doesn't promote the one before it", "", proxy, []string{"X-Forwarded-For: 6.6.6.6, "}, "malformed"},
		{"an empty element beyond trusted ones", "", proxy, []string{"X-Forwarded-For: 6.6.6.6,,10.2.2.2"}, "malformed"},
		{"garbage in the client's place", "", proxy, []string{"X-Forwarded-For: 6.6.6.6, fnord"}, "malformed"},
		{"garbage beyond trusted addresses", "", proxy, []string{"X-Forwarded-For: fnord, 10.2.2.2"}, "malformed"},
		{"a zone on a public address", "", proxy, []string{"X-Forwarded-For: 2001:db8::1%eth0"}, "malformed"},
		{"a zone on an IPv4 address", "", proxy, []string{"X-Forwarded-For: 169.254.1.1%eth0"}, "malformed"},
		{"a zone on a mapped address", "", proxy, []string{"X-Forwarded-For: ::ffff:169.254.1.1%eth0"}, "malformed"},
		{"an empty zone", "", proxy, []string{"X-Forwarded-For: fe80::1%"}, "malformed"},
		{"a port that is none", "", proxy, []string{"X-Forwarded-For: 1.2.3.4:http"}, "malformed"},
		{"a port that is too large", "", proxy, []string{"X-Forwarded-For: 1.2.3.4:65536"}, "malformed"},
		{"an empty port", "", proxy, []string{"X-Forwarded-For: 1.2.3.4:"}, "malformed"},
		{"brackets that don't close", "", proxy, []string{"X-Forwarded-For: [2001:db8::1"}, "malformed"},
		{"text after brackets", "", proxy, []string{"X-Forwarded-For: [2001:db8::1]443"}, "malformed"},
		{"IPv4 in brackets", "", proxy, []string{"X-Forwarded-For: [1.2.3.4]"}, "malformed"},
		{"leading zeros, octal to some", "", proxy, []string{"X-Forwarded-For: 010.2.3.4"}, "malformed"},
		{"an address as one number", "", proxy, []string{"X-Forwarded-For: 16909060"}, "malformed"},
		{"a network", "", proxy, []string{"X-Forwarded-For: 1.2.3.0/24"}, "malformed"},
		{"two addresses without a comma", "", proxy, []string{"X-Forwarded-For: 6.6.6.6 1.2.3.4"}, "malformed"},
		{"an address in quotes", "", proxy, []string{`X-Forwarded-For: "1.2.3.4"`}, "malformed"},
		{"space that is not HTTP's", "", proxy, []string{"X-Forwarded-For: 1.2.3.4\u00a0"}, "malformed"},
		{"unknown in the client's place", "", proxy, []string{"X-Forwarded-For: 6.6.6.6, unknown"}, "hidden"},
		{"an obfuscated identifier in the client's place", "", proxy, []string{"X-Forwarded-For: 6.6.6.6, _hidden"}, "hidden"},

		// Forwarded.
		{"Forwarded names the client", "Forwarded", proxy, []string{"Forwarded: for=1.2.3.4"}, "1.2.3.4"},
		{"among other parameters", "Forwarded", proxy, []string{"Forwarded: by=10.0.0.1;for=1.2.3.4;proto=https;host=example.org"}, "1.2.3.4"},
		{"in any case of letters", "forwarded", proxy, []string{"Forwarded: FOR=1.2.3.4;Proto=http"}, "1.2.3.4"},
		{"quoted IPv6", "Forwarded", proxy, []string{`Forwarded: for="[2001:db8::1]"`}, "2001:db8::1"},
		{"quoted IPv6 with a port", "Forwarded", proxy, []string{`Forwarded: for="[2001:db8::1]:4711"`}, "2001:db8::1"},
		{"quoted IPv4 with an obfuscated port", "Forwarded", proxy, []string{`Forwarded: for="1.2.3.4:_p0rt"`}, "1.2.3.4"},
		{"quoted with escapes", "Forwarded", proxy, []string{`Forwarded: for="\1.2\.3.4"`}, "1.2.3.4"},
		{"escaped quotes in another parameter", "Forwarded", proxy, []string{`Forwarded: host="\"\\";for=1.2.3.4`}, "1.2.3.4"},
		{"a parameter in a quoted value is not one", "Forwarded", proxy, []string{`Forwarded: for=1.2.3.4;host=";for=6.6.6.6;x="`}, "1.2.3.4"},
		{"empty pairs and spaces around them", "Forwarded", proxy, []string{"Forwarded: ; for=1.2.3.4 ;; proto=http;"}, "1.2.3.4"},
		{"the rightmost untrusted element is the client", "Forwarded", proxy, []string{"Forwarded: for=6.6.6.6, for=1.2.3.4, for=10.2.2.2"}, "1.2.3.4"},
		{"several Forwarded lines are one list", "Forwarded", proxy, []string{"Forwarded: for=6.6.6.6", `Forwarded: for=1.2.3.4, for="[2001:db8:ffff::7]"`, "Forwarded: for=10.2.2.2"}, "1.2.3.4"},
		{"if all elements are trusted the leftmost is the client", "Forwarded", proxy, []string{"Forwarded: for=10.3.3.3, for=10.2.2.2"}, "10.3.3.3"},
		{"a quote left open by the client swallows nothing", "Forwarded", proxy, []string{`Forwarded: for=6.6.6.6;x=", for=1.2.3.4`}, "1.2.3.4"},
		{"not even up to a quote of the proxy's", "Forwarded", proxy, []string{`Forwarded: for=6.6.6.6;x=", for=1.2.3.4;host=a"`}, "malformed"},

		{"an empty Forwarded", "Forwarded", proxy, []string{"Forwarded:"}, "malformed"},
		{"an empty last element of Forwarded", "Forwarded", proxy, []string{"Forwarded: for=6.6.6.6,"}, "malformed"},
		{"an element of empty pairs only", "Forwarded", proxy, []string{"Forwarded: for=6.6.6.6, ;;"}, "malformed"},
		{"an element that doesn't say for whom", "Forwarded", proxy, []string{"Forwarded: for=6.6.6.6, proto=https"}, "hidden"},
		{"unknown", "Forwarded", proxy, []string{"Forwarded: for=6.6.6.6, for=Unknown"}, "hidden"},
		{"unknown with a port", "Forwarded", proxy, []string{`Forwarded: for="unknown:80"`}, "hidden"},
		{"an obfuscated identifier", "Forwarded", proxy, []string{"Forwarded: for=_gazonk"}, "hidden"},
		{"an obfuscated identifier that is none", "Forwarded", proxy, []string{`Forwarded: for="_ga/onk"`}, "malformed"},
		{"a parameter twice", "Forwarded", proxy, []string{"Forwarded: for=1.2.3.4;For=1.2.3.4"}, "malformed"},
		{"another parameter twice", "Forwarded", proxy, []string{"Forwarded: proto=a;for=1.2.3.4;PROTO=b"}, "malformed"},
		{"a port without quotes", "Forwarded", proxy, []string{"Forwarded: for=1.2.3.4:80"}, "malformed"},
		{"IPv6 without quotes", "Forwarded", proxy, []string{"Forwarded: for=[2001:db8::1]"}, "malformed"},
		{"IPv6 without brackets", "Forwarded", proxy, []string{`Forwarded: for="2001:db8::1"`}, "malformed"},
		{"space around the equals sign", "Forwarded", proxy, []string{"Forwarded: for = 1.2.3.4"}, "malformed"},
		{"space within the quotes", "Forwarded", proxy, []string{`Forwarded: for=" 1.2.3.4"`}, "malformed"},
		{"a pair without a value", "Forwarded", proxy, []string{"Forwarded: for=1.2.3.4;by="}, "malformed"},
		{"a pair without a name", "Forwarded", proxy, []string{"Forwarded: =1.2.3.4"}, "malformed"},
		{"no pair at all", "Forwarded", proxy, []string{"Forwarded: 1.2.3.4"}, "malformed"},
		{"an empty quoted value", "Forwarded", proxy, []string{`Forwarded: for=""`}, "malformed"},
		{"a quote that doesn't close", "Forwarded", proxy, []string{`Forwarded: for="1.2.3.4`}, "malformed"},
		{"an escape that doesn't end", "Forwarded", proxy, []string{`Forwarded: for="1.2.3.4\`}, "malformed"},
		{"an escaped closing quote", "Forwarded", proxy, []string{`Forwarded: for="1.2.3.4\"`}, "malformed"},
		{"text after a quoted value", "Forwarded", proxy, []string{`Forwarded: for="1.2.3.4"x;proto=http`}, "malformed"},
		{"a comma in quotes, with the client's own element behind it", "Forwarded", proxy, []string{`Forwarded: for=1.2.3.4;host="x, for=6.6.6.6;y="`}, "malformed"},
		{"a control character in quotes", "Forwarded", proxy, []string{"Forwarded: for=1.2.3.4;x=\"\x01\""}, "malformed"},
		{"an escaped control character", "Forwarded", proxy, []string{"Forwarded: for=1.2.3.4;x=\"\\\x01\""}, "malformed"},

		// Both lists.
		{"both lists agree", "", proxy, []string{"X-Forwarded-For: 1.2.3.4, 10.2.2.2", "Forwarded: for=1.2.3.4"}, "1.2.3.4"},
		{"both lists agree, Forwarded is trusted", "Forwarded", proxy, []string{"X-Forwarded-For: 1.2.3.4:80", "Forwarded: for=1.2.3.4"}, "1.2.3.4"},
		{"Forwarded contradicts", "", proxy, []string{"X-Forwarded-For: 1.2.3.4", "Forwarded: for=6.6.6.6"}, "conflicting"},
		{"X-Forwarded-For contradicts", "Forwarded", proxy, []string{"X-Forwarded-For: 6.6.6.6", "Forwarded: for=1.2.3.4"}, "conflicting"},
		{"Forwarded keeps the address to itself", "", proxy, []string{"X-Forwarded-For: 1.2.3.4", "Forwarded: for=_gazonk"}, "1.2.3.4"},
		{"Forwarded is about something else", "", proxy, []string{"X-Forwarded-For: 1.2.3.4", "Forwarded: proto=https"}, "1.2.3.4"},
		{"the other list can't be read", "", proxy, []string{"X-Forwarded-For: 1.2.3.4", "Forwarded: for"}, "malformed"},
		{"the other list doesn't help out", "", proxy, []string{"X-Forwarded-For: unknown", "Forwarded: for=1.2.3.4"}, "hidden"},

		// Single-address headers.
		{"the named header is the client", "cf-connecting-ip", proxy, []string{"CF-Connecting-IP: 2001:db8::1"}, "2001:db8::1"},
		{"whatever the lists say", "CF-Connecting-IP", proxy, []string{"CF-Connecting-IP: 1.2.3.4", "X-Forwarded-For: 6.6.6.6", "Forwarded: for=7.7.7.7"}, "1.2.3.4"},
		{"even if it is a trusted proxy's", "X-Real-IP", proxy, []string{"X-Real-IP: 10.9.9.9"}, "10.9.9.9"},
		{"with a port", "CloudFront-Viewer-Address", proxy, []string{"CloudFront-Viewer-Address: 1.2.3.4:46532"}, "1.2.3.4"},
		{"mapped", "X-Real-IP", proxy, []string{"X-Real-IP: ::ffff:1.2.3.4"}, "1.2.3.4"},
		{"twice", "X-Real-IP", proxy, []string{"X-Real-IP: 1.2.3.4", "X-Real-IP: 1.2.3.4"}, "repeated"},
		{"two addresses in it", "X-Real-IP", proxy, []string{"X-Real-IP: 6.6.6.6, 1.2.3.4"}, "malformed"},
		{"empty", "X-Real-IP", proxy, []string{"X-Real-IP:"}, "malformed"},
		{"garbage", "X-Real-IP", proxy, []string{"X-Real-IP: localhost"}, "malformed"},
		{"unknown in it", "X-Real-IP", proxy, []string{"X-Real-IP: unknown"}, "hidden"},

		// Limits.
		{"64 hops", "", proxy, []string{"X-Forwarded-For: " + strings.Repeat("10.2.2.2, ", 63) + "10.2.2.2"}, "10.2.2.2"},
		{"65 hops", "", proxy, []string{"X-Forwarded-For: " + strings.Repeat("10.2.2.2, ", 64) + "10.2.2.2"}, "too-long"},
		{"65 lines", "", proxy, slices.Repeat([]string{"X-Forwarded-For: 10.2.2.2"}, 65), "too-long"},
		{"more than is looked at, in the client's place", "", proxy, []string{"X-Forwarded-For: 1.2.3.4" + strings.Repeat("x", 8<<10)}, "too-long"},
		{"any length, to the left of the client", "", proxy, []string{"X-Forwarded-For: " + strings.Repeat("x,", 50<<10) + " 1.2.3.4"}, "1.2.3.4"},
		{"16 parameters", "Forwarded", proxy, []string{"Forwarded: for=1.2.3.4" + parameters(15)}, "1.2.3.4"},
		{"17 parameters", "Forwarded", proxy, []string{"Forwarded: for=1.2.3.4" + parameters(16)}, "too-long"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := outcome(resolver(t, test.trusts), test.peer, headerOf(test.header...)); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func parameters(n int) string {
	var s strings.Builder
	for i := range n {
		fmt.Fprintf(&s, ";p%d=v", i)
	}
	return s.String()
}

func TestNobodyIsTrustedByDefault(t *testing.T) {
	f, err := client.NewResolver(client.Trust{})
	if err != nil {
		t.Fatal(err)
	}
	for _, peer := range []string{"127.0.0.1", "::1", "10.0.0.1", "fe80::1"} {
		if got := outcome(f, peer, headerOf("X-Forwarded-For: 6.6.6.6")); got != peer {
			t.Errorf("%s: got %s", peer, got)
		}
	}
}

func TestAConnectionWithoutAnAddressIsRefused(t *testing.T) {
	addr, err := resolver(t, "").Address(netip.Addr{}, headerOf("X-Forwarded-For: 6.6.6.6"))
	if err != client.NoPeer || addr.IsValid() {
		t.Errorf("got %v, %v", addr, err)
	}
}

func TestInvalidTrustIsRejectedAllAtOnce(t *testing.T) {
	_, err := client.NewResolver(client.Trust{
		Header: "X Forwarded For",
		Proxies: []netip.Prefix{
			{},
			netip.MustParsePrefix("0.0.0.0/0"),
			netip.MustParsePrefix("192.0.2.0/24"),
			netip.MustParsePrefix("10.0.0.7/8"),
			netip.MustParsePrefix("2001:db8::1/32"),
			netip.MustParsePrefix("::ffff:0:0/96"), // F: all of IPv4
			netip.MustParsePrefix("128.0.0.0/1"),   // which with the other half is all of it
			netip.MustParsePrefix("2000::/3"),
			netip.MustParsePrefix("10.0.0.0/8"), // wide, and private
			netip.MustParsePrefix("fc00::/7"),
			netip.MustParsePrefix("2a00::/16"),
		},
	})
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	names := []string{"missing", "0.0.0.0/0", "10.0.0.0/8", "2001:db8::/32", "::ffff:0.0.0.0/96", "128.0.0.0/1", "2000::/3", `"X Forwarded For"`}
	if len(lines) != len(names) {
		t.Fatal(err)
	}
	for i, name := range names {
		if !strings.Contains(lines[i], name) {
			t.Errorf("line %d doesn't name %s: %s", i+1, name, lines[i])
		}
	}
}

// The set of trusted networks must answer as looking through the list does.
func TestTrustedNetworksMayOverlapAndComeInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Few bits, so that networks nest and addresses hit.
		v4 := rapid.Custom(func(t *rapid.T) netip.Addr {
			return netip.AddrFrom4([4]byte{10, 0, rapid.Byte().Draw(t, "high") & 3, rapid.Byte().Draw(t, "low")})
		})
		v6 := rapid.Custom(func(t *rapid.T) netip.Addr {
			a := netip.MustParseAddr("2001:db8::").As16()
			a[7], a[15] = rapid.Byte().Draw(t, "high")&3, rapid.Byte().Draw(t, "low")
			return netip.AddrFrom16(a)
		})
		mapped := rapid.Map(v4, func(a netip.Addr) netip.Addr { return netip.AddrFrom16(a.As16()) })
		address := rapid.OneOf(v4, v6, mapped)
		network := rapid.Custom(func(t *rapid.T) netip.Prefix {
			a := address.Draw(t, "address")
			bits := a.BitLen() - rapid.IntRange(0, 12).Draw(t, "host bits")
			if a.Is6() && !a.Is4In6() {
				bits = rapid.IntRange(40, 128).Draw(t, "bits")
			}
			return netip.PrefixFrom(a, bits).Masked()
		})
		trusted := rapid.SliceOfN(network, 0, 12).Draw(t, "trusted")
		peer := address.Draw(t, "peer")

		f, err := client.NewResolver(client.Trust{Proxies: trusted})
		if err != nil {
			t.Fatal(err)
		}
		want := peer.Unmap()
		for _, n := range trusted {
			if n.Contains(peer) || n.Contains(peer.Unmap()) || n.Contains(netip.AddrFrom16(peer.As16())) {
				want = netip.MustParseAddr("1.2.3.4")
			}
		}
		got, err := f.Address(peer, headerOf("X-Forwarded-For: 1.2.3.4"))
		if got != want || err != nil {
			t.Fatalf("got %v, %v; want %v", got, err, want)
		}
	})
}

// Whatever a client sends in the header that its proxies append to, they
// decide who it is.
func TestWhatAClientPrependsNeverChangesItsAddress(t *testing.T) {
	text := rapid.OneOf(
		rapid.StringMatching(`[ -~\t]{0,60}`),
		rapid.StringMatching(`((for|host|x)="?[0-9."\\]{0,8}[,;" ]{0,3}){0,6}`),
		rapid.StringMatching(`((10|6)\.[0-9]\.6\.6[, :]{0,3}){0,6}`),
	)
	for _, header := range []struct {
		name    string
		written []string // by the proxies
	}{
		{"X-Forwarded-For", []string{"1.2.3.4", "[2001:db8::4]:99", "1.2.3.4, 10.2.2.2", "2001:db8::4, fe80::2%eth0, 10.2.2.2"}},
		{"Forwarded", []string{"for=1.2.3.4", `for="[2001:db8::4]:99"`, `host="a;b";for=1.2.3.4;proto=https, for=10.2.2.2;by="_x"`}},
	} {
		t.Run(header.name, func(t *testing.T) {
			f := resolver(t, header.name)
			rapid.Check(t, func(t *rapid.T) {
				written := rapid.SampledFrom(header.written).Draw(t, "written by the proxies")
				honest := outcome(f, proxy, http.Header{header.name: {written}})

				lines := rapid.SliceOfN(text, 0, 4).Draw(t, "lines before")
				if rapid.Bool().Draw(t, "the proxy appends to the last line") {
					written = text.Draw(t, "same line") + ", " + written
				}
				got := outcome(f, proxy, http.Header{header.name: append(lines, written)})
				if got != honest {
					t.Fatalf("%q: got %s, want %s", append(lines, written), got, honest)
				}
			})
		})
	}
}

// With the list that its proxies don't write, a client gets itself rejected,
// and nothing else.
func TestWhatAClientSaysInTheOtherListNeverChangesItsAddress(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		other := rapid.StringMatching(`((for=)?"?(10|6|1)\.[0-9._"]{2,10}[,; ]{0,3}){0,5}`).Draw(t, "other")
		for _, names := range [][2]string{{"X-Forwarded-For", "Forwarded"}, {"Forwarded", "X-Forwarded-For"}} {
			f, err := client.NewResolver(client.Trust{Proxies: proxies, Header: names[0]})
			if err != nil {
				t.Fatal(err)
			}
			written := map[string]string{"X-Forwarded-For": "1.2.3.4", "Forwarded": "for=1.2.3.4"}[names[0]]
			addr, err := f.Address(netip.MustParseAddr(proxy), http.Header{names[0]: {written}, names[1]: {other}})
			if err == nil && addr != netip.MustParseAddr("1.2.3.4") {
				t.Fatalf("%s: %q made it %v", names[1], other, addr)
			}
		}
	})
}

func TestAddressAllocatesNothing(t *testing.T) {
	for _, test := range costs() {
		f := test.resolver(t)
		if n := testing.AllocsPerRun(100, func() { f.Address(test.peer, test.header) }); n != 0 {
			t.Errorf("%s: %v allocations", test.name, n)
		}
	}
}

func BenchmarkAddress(b *testing.B) {
	for _, test := range costs() {
		b.Run(test.name, func(b *testing.B) {
			f := test.resolver(b)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.Address(test.peer, test.header); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

type cost struct {
	name     string
	trusts   string
	networks int // trusted, besides proxies
	peer     netip.Addr
	header   http.Header
}

func (c cost) resolver(t testing.TB) *client.Resolver {
	trusted := slices.Clone(proxies)
	for i := range c.networks {
		trusted = append(trusted, netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(i >> 8), byte(i), 0}), 24+i%2))
	}
	f, err := client.NewResolver(client.Trust{Proxies: trusted, Header: c.trusts})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func costs() []cost {
	far, near := netip.MustParseAddr(stranger), netip.MustParseAddr(proxy)
	return []cost{
		{"stranger, 3 networks trusted", "", 0, far, nil},
		{"stranger, 500 networks trusted", "", 500, far, headerOf("X-Forwarded-For: 6.6.6.6")},
		{"X-Forwarded-For, one address", "", 0, near, headerOf("X-Forwarded-For: 1.2.3.4")},
		{"X-Forwarded-For, one address, 500 networks trusted", "", 500, near, headerOf("X-Forwarded-For: 1.2.3.4")},
		{"X-Forwarded-For, IPv6 behind two proxies", "", 0, near, headerOf("X-Forwarded-For: 2001:db8::1, 10.2.2.2, 10.3.3.3")},
		{"Forwarded, IPv6 with a port", "Forwarded", 0, near, headerOf(`Forwarded: for="[2001:db8::1]:4711";proto=https`)},
		{"X-Forwarded-For and Forwarded", "", 0, near, headerOf("X-Forwarded-For: 1.2.3.4", "Forwarded: for=1.2.3.4")},
		{"CF-Connecting-IP", "CF-Connecting-IP", 0, near, headerOf("Cf-Connecting-Ip: 1.2.3.4")},
	}
}
