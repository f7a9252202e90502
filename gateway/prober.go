package gateway

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/request"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/routes"
)

// Limits of what a gateway asks itself.
const (
	probeTimeout = 5 * time.Second // for all of a jurisdiction
	mostProbes   = 200
)

// probe asks the public listener for each class of route, as a client would from a
// jurisdiction and what its entry reaches, and returns what it got.
func (g *Gateway) probe(ctx context.Context, code policy.Code) api.GatewayProbes {
	g.probing.Lock() // one at a time, however many ask
	defer g.probing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	snapshot := g.snapshot()
	seen := api.GatewayProbes{Gateway: hostname(), Revision: g.source.State().Revision().Number, Seen: []api.Probe{}, Unseen: []api.UnseenProbe{}}
	codes := append([]policy.Code{code}, snapshot.Policy().Reaches(code)...)
	slices.Sort(codes[1:])
	for _, code := range slices.Compact(codes) {
		if !policy.IsPlace(code) && code != policy.Anonymous {
			continue // a group: its members are asked as
		}
		address, found := g.addressIn(snapshot, code)
		if !found {
			seen.Unseen = append(seen.Unseen, api.UnseenProbe{Jurisdiction: code, Why: "the databases here know no address there"})
			continue
		}
		g.probeFrom(ctx, snapshot, code, address, &seen)
	}
	return seen
}

// addressIn returns an address in a jurisdiction, if there is one such that its entry
// governs there, and not that of a part.
func (g *Gateway) addressIn(snapshot *policy.Snapshot, code policy.Code) (netip.Addr, bool) {
	isThere := func(place policy.Place) bool {
		if code == policy.Anonymous {
			return place.Anonymous
		}
		return !place.Anonymous && (place.Country == code || slices.Contains(place.Subdivisions[:], code))
	}
	whole := snapshot.Decide(policy.PlaceOf(code), routes.None)
	address, found := g.geo.Example(code, func(place policy.Place) bool {
		return isThere(place) && snapshot.Decide(place, routes.None).Jurisdiction == whole.Jurisdiction
	})
	if !found {
		return g.geo.Example(code, isThere)
	}
	return address, true
}

// probeFrom asks as one client would.
func (g *Gateway) probeFrom(ctx context.Context, snapshot *policy.Snapshot, code policy.Code, client netip.Addr, seen *api.GatewayProbes) {
	transport := g.probeTransport(client)
	defer transport.CloseIdleConnections()
	asking := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	place := g.geo.Locate(client)
	for class, name := range snapshot.Policy().Classes() {
		unseen := func(format string, args ...any) {
			seen.Unseen = append(seen.Unseen, api.UnseenProbe{Jurisdiction: code, Class: name, Why: fmt.Sprintf(format, args...)})
		}
		if len(seen.Seen) == mostProbes {
			unseen("more than %d requests would be needed", mostProbes)
			return
		}
		if class > int(routes.None) && !slices.ContainsFunc(snapshot.Policy().RouteRules(), func(r routes.Rule) bool { return int(r.Class) == class }) {
			continue // no request is of this class
		}
		method, host, path, x := g.exampleOf(snapshot, place, routes.Class(class), name)
		if method == "" {
			unseen("no request of this class is known that an app here would get")
			continue
		}
		r, err := http.NewRequestWithContext(ctx, method, "https://"+host+path, nil)
		if err != nil {
			unseen("%v", err)
			continue
		}
		res, err := asking.Do(r)
		if err != nil {
			unseen("the listener can't be asked: %v", err)
			continue
		}
		_ = res.Body.Close()
		probe := api.Probe{Jurisdiction: code, Class: name, Request: method + " " + path, Status: res.StatusCode, Phase: x.Decision.Phase, Wanted: x.Decision.Action == policy.Refuse}
		switch res.Header.Get(request.ProbeField) {
		case request.ProbeRefused:
			probe.Refused = true
		case request.ProbeServed:
			probe.Status = 0
		default:
			unseen("the listener has answered with %s", res.Status)
			continue
		}
		seen.Seen = append(seen.Seen, probe)
	}
}

// exampleOf returns a request of a class that an app here would get, and how it is decided
// on from a place; "" if none is known.
func (g *Gateway) exampleOf(snapshot *policy.Snapshot, place policy.Place, class routes.Class, name string) (method, host, path string, x policy.Explanation) {
	is := func(method, host, path string) bool {
		x = snapshot.Explain(place, method, host, path)
		return x.Class == name && !x.Ambiguous
	}
	own := g.probeHost()
	if class == routes.None {
		for _, path := range []string{"/", "/exitgate-probe"} {
			if is(http.MethodGet, own, path) {
				return http.MethodGet, own, path, x
			}
		}
	}
	for _, rule := range snapshot.Policy().RouteRules() {
		method, host, path := rule.Pattern.Example()
		host = cmp.Or(host, own)
		if rule.Class == class && g.service.Load().requests.Serves(host) && is(method, host, path) {
			return method, host, path, x
		}
	}
	return "", "", "", x
}

// probeHost returns a host that the first app is served at.
func (g *Gateway) probeHost() string {
	host := g.service.Load().config.Apps[0].Hosts[0]
	if host == "*" {
		return "probe.invalid" // RFC 6761, section 6.4
	}
	if domain, wild := strings.CutPrefix(host, "*."); wild {
		return "probe." + domain
	}
	return host
}

// probeTransport asks the public listener as a client at an address would.
func (g *Gateway) probeTransport(client netip.Addr) *http.Transport {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", dialable(g.public))
		if err != nil {
			return nil, err
		}
		probe := g.service.Load().requests.Probes().Begin(conn, client)
		if g.config.Listen.HTTPS == "" {
			return probe, nil
		}
		// It is the gateway's own listener: which certificate it shows isn't asked.
		return tls.Client(probe, &tls.Config{InsecureSkipVerify: true}), nil
	}
	return &http.Transport{DialTLSContext: dial, DisableCompression: true, MaxIdleConnsPerHost: 1}
}

// dialable returns an address of this machine that a listener can be asked at.
func dialable(at net.Addr) string {
	tcp, ok := at.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return at.String()
	}
	loopback := net.IPv6loopback
	if tcp.IP.To4() != nil {
		loopback = net.IPv4(127, 0, 0, 1)
	}
	return (&net.TCPAddr{IP: loopback, Port: tcp.Port}).String()
}

// encodeProbes returns what this gateway sees of a jurisdiction, for another one.
func (g *Gateway) encodeProbes(ctx context.Context, code []byte) []byte {
	text, err := json.Marshal(g.probe(ctx, policy.Code(code)))
	if err != nil {
		g.log.Error("probes could not be encoded", "error", err)
	}
	return text
}
