package client_test

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/client"
)

// A5: whoever stands in front and isn't trusted is noticed.
func TestSourcesNoticeWhoStandsInFront(t *testing.T) {
	proxy, balancer, public := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("192.168.0.1"), netip.MustParseAddr("9.9.9.9")
	names, says := http.Header{"X-Forwarded-For": {"9.9.9.9"}}, http.Header{"Accept": {"*/*"}}
	type requests struct {
		n       int
		peer    netip.Addr
		header  http.Header
		private bool
	}
	for name, test := range map[string]struct {
		requests []requests
		expected bool
		want     client.DoubtReason
	}{
		"nothing":                                  {nil, false, ""},
		"clients who come by themselves":           {[]requests{{100, public, says, false}}, false, ""},
		"a trusted proxy":                          {[]requests{{100, proxy, names, false}}, false, ""},
		"its own checks of health":                 {[]requests{{100, proxy, says, true}, {30, proxy, names, false}}, false, ""},
		"nothing but such":                         {[]requests{{20, proxy, says, true}}, false, client.NoneSaid},
		"such, and clients who come by themselves": {[]requests{{20, proxy, says, true}, {30, public, says, false}}, false, ""},
		"such, expected to be private":             {[]requests{{20, proxy, says, true}}, true, ""},
		"a balancer that isn't trusted":            {[]requests{{51, balancer, names, true}, {49, public, says, false}}, false, client.HeadersIgnored},
		"one with a public address":                {[]requests{{51, public, names, false}, {49, public, says, false}}, false, client.HeadersIgnored},
		"one that adds no header":                  {[]requests{{51, balancer, says, true}, {49, public, says, false}}, false, client.MostPrivate},
		"one behind a trusted proxy":               {[]requests{{51, proxy, names, true}, {49, public, says, false}}, false, client.MostPrivate},
		"clients that are expected to be private":  {[]requests{{100, balancer, says, true}}, true, ""},
		"as many with as without":                  {[]requests{{50, balancer, names, true}, {50, public, says, false}}, false, ""},
		"some who claim to be others":              {[]requests{{10, public, names, false}, {90, public, says, false}}, false, ""},
		"too few to say":                           {[]requests{{19, balancer, names, true}}, false, ""},
		"a header that is named in the settings":   {[]requests{{20, balancer, http.Header{"Cf-Connecting-Ip": {"9.9.9.9"}}, true}}, false, client.HeadersIgnored},
		"expected to be private, and with headers": {[]requests{{100, balancer, names, true}}, true, client.HeadersIgnored},
	} {
		r, err := client.NewResolver(client.Trust{Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Header: "CF-Connecting-IP"})
		if err != nil {
			t.Fatal(err)
		}
		s := client.NewSources(r)
		for _, c := range test.requests {
			for range c.n {
				if ignored := s.Count(c.peer, c.header, c.private); ignored != (c.peer != proxy && c.header.Get("Accept") == "") {
					t.Fatalf("%s: ignored %v", name, ignored)
				}
			}
		}
		if d, warn := s.Review(time.Now(), test.expected); d.Reason != test.want || warn != (test.want != "") || (d.Reason == "") != (d.Reason.String() == "") {
			t.Errorf("%s: %+v, warn: %v; want %q", name, d, warn, test.want)
		}
	}
}

func TestADoubtIsWarnedOfOnceInAWhile(t *testing.T) {
	r, err := client.NewResolver(client.Trust{})
	if err != nil {
		t.Fatal(err)
	}
	s, start := client.NewSources(r), time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	review := func(after time.Duration, header http.Header) (client.Doubt, bool) {
		for range 20 {
			s.Count(netip.MustParseAddr("9.9.9.9"), header, false)
		}
		return s.Review(start.Add(after), false)
	}
	names := http.Header{"Forwarded": {"for=9.9.9.9"}}
	for _, step := range []struct {
		after  time.Duration
		header http.Header
		warn   bool
		since  time.Duration // -1: no doubt
	}{
		{0, names, true, 0},
		{time.Minute, names, false, 0},
		{2 * time.Minute, nil, false, -1},
		{3 * time.Minute, names, false, 3 * time.Minute},
		{time.Hour, names, true, 3 * time.Minute},
	} {
		d, warn := review(step.after, step.header)
		if warn != step.warn || (step.since < 0) != d.Since.IsZero() || step.since >= 0 && !d.Since.Equal(start.Add(step.since)) {
			t.Errorf("after %v: %+v, warn: %v", step.after, d, warn)
		}
	}
}
