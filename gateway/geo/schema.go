package geo

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/oschwald/geoip2-golang/v2"
	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/exitgate/exitgate/policy"
)

// A Role is what a database is used for. One database may have several.
type Role uint8

// The roles of databases.
const (
	RolePlace     Role = 1 << iota // country, perhaps subdivisions
	RoleASN                        // autonomous system
	RoleAnonymous                  // VPN, Tor, proxy, relay
)

// String returns the names of the roles, separated by "+": "place+asn".
func (r Role) String() string {
	var names []string
	for i, name := range []string{"place", "asn", "anonymous"} {
		if r&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, "+")
}

// facts are what matters here of one record.
type facts struct {
	place        policy.Place
	asn          uint32
	organisation string
}

// A schema decodes the records of a kind of database.
type schema func(record maxminddb.Result, d *decoding) (facts, error)

// decoding is how records are decoded.
type decoding struct {
	registeredCountry bool
	subdivisions      map[[2]string]policy.Code // by country and code, of those that were looked up; nil: they aren't kept
}

// subdivision is the function of that name, for many records.
func (d *decoding) subdivision(of policy.Code, code string) policy.Code {
	key := [2]string{string(of), code}
	known, ok := d.subdivisions[key]
	if !ok {
		known = subdivision(of, code)
		if d.subdivisions != nil {
			d.subdivisions[key] = known
		}
	}
	return known
}

const supported = "supported are Country, City, Enterprise, ASN, ISP and Anonymous-IP in MaxMind's schemas " +
	"(DB-IP's too), and IPinfo's and ip-location-db's databases of places, autonomous systems and privacy"

// recognise finds the schema of a database by its type and a sample of its records:
// the type alone says too little (anyone may write one), and the fields alone
// too much (IPinfo's abuse contacts have a country as well, the contact's).
func recognise(databaseType string, seen fields) (schema, Role, error) {
	decode, role := bySample(seen)
	permitted := byType(databaseType)
	switch {
	case decode == nil || permitted == 0:
		return nil, 0, fmt.Errorf("is of type %q with the fields %s, which can't be used: %s", databaseType, seen, supported)
	case role&permitted == 0:
		return nil, 0, fmt.Errorf("is of type %q, but its records have the fields %s: get the file again", databaseType, seen)
	}
	return decode, role & permitted, nil
}

// byType returns the roles that a database of the type may have: all, if the
// type isn't known; none, if it is known to be of no use.
func byType(databaseType string) Role {
	name := strings.ToLower(databaseType)
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(name, word) })
	}
	switch {
	case strings.HasPrefix(name, "ipinfo "):
		switch {
		case has("abuse", "carrier", "company", "domain", "whois"):
			return 0
		case has("asn") && !has("country", "location"):
			return RoleASN
		}
	case has("domain", "connection-type", "user-count", "static-ip"):
		return 0
	case has("anonymous"):
		return RoleAnonymous
	case has("enterprise", "compat=city"), has("city", "country", "location") && has("asn", "isp"):
		return RolePlace | RoleASN
	case has("city", "country", "location"):
		return RolePlace
	case has("asn", "isp"):
		return RoleASN
	}
	return RolePlace | RoleASN | RoleAnonymous
}

// bySample returns the schema that has fields like these, nil if none has.
func bySample(seen fields) (schema, Role) {
	switch {
	case seen["country"] == "map" || seen["registered_country"] == "map":
		if seen["traits.autonomous_system_number"] != "" {
			return geoip2Place, RolePlace | RoleASN
		}
		return geoip2Place, RolePlace
	case seen.kind("country_code", "country") == "":
		if seen.kind("is_anonymous", "is_anonymous_vpn", "is_hosting_provider", "is_public_proxy",
			"is_residential_proxy", "is_tor_exit_node") == "bool" {
			return geoip2Anonymous, RoleAnonymous
		}
		if seen["autonomous_system_number"] == "number" {
			return geoip2ASN, RoleASN
		}
	}
	var role Role
	if seen.kind("country_code", "country") == "string" {
		role |= RolePlace
	}
	if seen.kind("asn", "autonomous_system_number") != "" {
		role |= RoleASN
	}
	if seen.kind("vpn", "proxy", "tor", "relay", "is_vpn", "is_proxy", "is_tor", "is_relay", "is_anonymous") != "" {
		role |= RoleAnonymous
	}
	if role == 0 {
		return nil, 0
	}
	return flat, role
}

// fields are the names and the kinds (map, string, number, bool) of the fields
// in a sample of records.
type fields map[string]string

func (f fields) sample(record maxminddb.Result) error {
	var content any
	if err := record.Decode(&content); err != nil {
		return err
	}
	top, _ := content.(map[string]any)
	for name, value := range top {
		f[name] = kindOf(value)
	}
	if traits, ok := top["traits"].(map[string]any); ok {
		for name, value := range traits {
			f["traits."+name] = kindOf(value)
		}
	}
	return nil
}

func kindOf(value any) string {
	switch value.(type) {
	case map[string]any:
		return "map"
	case string:
		return "string"
	case bool:
		return "bool"
	case []any:
		return "list"
	}
	return "number"
}

// kind returns the kind of the first of the fields that exists.
func (f fields) kind(names ...string) string {
	for _, name := range names {
		if kind := f[name]; kind != "" {
			return kind
		}
	}
	return ""
}

// String lists the names, at most eight.
func (f fields) String() string {
	if len(f) == 0 {
		return "(none)"
	}
	names := slices.Sorted(maps.Keys(f))
	if len(names) > 8 {
		names = append(names[:8], "…")
	}
	return strings.Join(names, ", ")
}

// A placeRecord is what is needed of geoip2.Enterprise, and of City, which has the
// same fields: to decode that alone takes a fifth of the time.
type placeRecord struct {
	Country           coded   `maxminddb:"country"`
	RegisteredCountry coded   `maxminddb:"registered_country"`
	Subdivisions      []coded `maxminddb:"subdivisions"`
	Traits            struct {
		Number       uint32 `maxminddb:"autonomous_system_number"`
		Organisation string `maxminddb:"autonomous_system_organization"`
	} `maxminddb:"traits"`
}

type coded struct {
	ISOCode string `maxminddb:"iso_code"`
}

// geoip2Place is the schema of MaxMind's Country, City and Enterprise.
func geoip2Place(record maxminddb.Result, d *decoding) (facts, error) {
	var r placeRecord
	if err := record.Decode(&r); err != nil {
		return facts{}, err
	}
	found := facts{asn: r.Traits.Number, organisation: r.Traits.Organisation}
	place := &found.place
	place.Country = country(r.Country.ISOCode)
	for i := range min(len(r.Subdivisions), len(place.Subdivisions)) {
		place.Subdivisions[i] = d.subdivision(place.Country, r.Subdivisions[i].ISOCode)
	}
	if len(r.Subdivisions) > 0 && r.Subdivisions[0].ISOCode == "" { // DB-IP City Lite
		var name string
		if err := record.DecodePath(&name, "subdivisions", 0, "names", "en"); err != nil {
			return facts{}, err
		}
		place.Subdivisions[0] = subdivisionNamed(place.Country, name)
	}
	if place.Country == "" && d.registeredCountry {
		place.Country = country(r.RegisteredCountry.ISOCode)
	}
	*place = canonical(*place)
	return found, nil
}

// geoip2ASN is the schema of MaxMind's ASN and ISP, and of ip-location-db's asn.
func geoip2ASN(record maxminddb.Result, _ *decoding) (facts, error) {
	var r geoip2.ASN
	err := record.Decode(&r)
	return facts{asn: uint32(r.AutonomousSystemNumber), organisation: r.AutonomousSystemOrganization}, err
}

// geoip2Anonymous is the schema of MaxMind's Anonymous-IP and Anonymous-Plus.
// The field is_anonymous doesn't suffice: it is also set for hosting providers.
func geoip2Anonymous(record maxminddb.Result, _ *decoding) (facts, error) {
	var r geoip2.AnonymousIP
	err := record.Decode(&r)
	kindKnown := r.IsAnonymousVPN || r.IsPublicProxy || r.IsResidentialProxy || r.IsTorExitNode
	return facts{place: policy.Place{
		Anonymous: kindKnown || r.IsAnonymous && !r.IsHostingProvider,
	}}, err
}

// flat is the schema of IPinfo's and ip-location-db's databases: one level of
// fields, most of them strings, even for numbers and truth.
func flat(record maxminddb.Result, d *decoding) (facts, error) {
	var r struct {
		CountryCode string `maxminddb:"country_code"`
		Country     string `maxminddb:"country"` // the code in IPinfo's older databases, the name in newer ones
		RegionCode  string `maxminddb:"region_code"`
		Region      string `maxminddb:"region"` // the name, in databases with a code, too
		State       string `maxminddb:"state1"` // the name, in ip-location-db's; state2 is within it

		ASN          any    `maxminddb:"asn"` // AS15169
		Number       any    `maxminddb:"autonomous_system_number"`
		ASName       string `maxminddb:"as_name"`
		Name         string `maxminddb:"name"`
		Organisation string `maxminddb:"autonomous_system_organization"`

		VPN         any `maxminddb:"vpn"`
		Proxy       any `maxminddb:"proxy"`
		Tor         any `maxminddb:"tor"`
		Relay       any `maxminddb:"relay"`
		IsVPN       any `maxminddb:"is_vpn"`
		IsProxy     any `maxminddb:"is_proxy"`
		IsTor       any `maxminddb:"is_tor"`
		IsRelay     any `maxminddb:"is_relay"`
		IsAnonymous any `maxminddb:"is_anonymous"`
	}
	if err := record.Decode(&r); err != nil {
		return facts{}, err
	}
	var found facts
	place := &found.place
	place.Country = country(r.CountryCode)
	if r.CountryCode == "" {
		place.Country = country(r.Country)
	}
	place.Subdivisions[0] = d.subdivision(place.Country, r.RegionCode)
	if r.RegionCode == "" {
		place.Subdivisions[0] = subdivisionNamed(place.Country, cmp.Or(r.Region, r.State))
	}
	place.Anonymous = slices.ContainsFunc([]any{
		r.VPN, r.Proxy, r.Tor, r.Relay, r.IsVPN, r.IsProxy, r.IsTor, r.IsRelay, r.IsAnonymous,
	}, isTrue)
	*place = canonical(*place)
	if found.asn = number(r.ASN); found.asn == 0 {
		found.asn = number(r.Number)
	}
	for _, name := range []string{r.ASName, r.Organisation, r.Name} {
		if name != "" {
			found.organisation = name
			break
		}
	}
	return found, nil
}

func isTrue(value any) bool {
	switch v := value.(type) {
	case bool:
		return v
	case string:
		return strings.EqualFold(v, "true") || v == "1"
	case nil:
		return false
	}
	return fmt.Sprint(value) == "1"
}

// number reads the number of an autonomous system: AS15169, "15169" or 15169.
func number(value any) uint32 {
	digits := strings.TrimPrefix(fmt.Sprint(value), "AS")
	n, _ := strconv.ParseUint(digits, 10, 32)
	return uint32(n)
}
