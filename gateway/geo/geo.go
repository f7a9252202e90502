// Package geo locates IP addresses: it looks an address up in databases of the
// MaxMind DB format and returns a [policy.Place].
//
// # Which databases
//
// Supported are MaxMind's GeoIP2 and GeoLite2 Country, City, Enterprise, ASN,
// ISP, Anonymous-IP and Anonymous-Plus, DB-IP's databases of the same schemas,
// and the flat schemas of IPinfo and ip-location-db. Any number of them work
// together:
//
//   - The country is that of the first database, in the operator's order, that
//     has one for the address.
//   - The subdivisions are those of the first database that has any and agrees
//     on the country. So a coarse database may stand before a fine one, and a
//     subdivision is never one of another country.
//   - The address is anonymous if it is in any database: an anonymous-IP
//     database for VPN, Tor exit, public or residential proxy; IPinfo's for
//     VPN, Tor, proxy and relay. A hosting provider by itself hides nobody: it
//     doesn't count. Neither does the old is_anonymous_proxy of City and
//     Enterprise, which MaxMind no longer maintains.
//   - The autonomous system is for [Locator.Describe] only.
//
// Before all of them come the operator's corrections.
//
// # Which country
//
// The one in which the address is used (country). Where a database has none,
// Options.RegisteredCountry permits the one in which the block is registered. The represented country, that of a military base or an
// embassy, is never taken: the law that applies on the spot is the spot's.
//
// A code counts as a country if it is two letters and not one of those that
// mean something else: the ones that ISO 3166-1 leaves to its users (XX, ZZ
// and so on, but not XK, which is what databases call Kosovo), EU and AP, and
// those of countries that are no more. Everything else, A1, A2, O1 and T1
// among it, leaves the address unlocated.
//
// # Which address
//
// IPv4-mapped IPv6 addresses are unmapped and zones are dropped. Private are
// those that [policy.Private] names: RFC 1918, loopback, unique local,
// link-local and shared (RFC 6598) addresses; no database is asked about them.
// The other special-purpose blocks of the IANA registries (RFC 6890),
// documentation and benchmarking for example, are looked up like any other and
// as a rule aren't found.
//
// Some IPv6 addresses carry the IPv4 address of the client, and that one is
// looked up, because it is where the answer goes: bits 16 to 47 of a 6to4
// address (RFC 3056), the last 32 bits of a NAT64 address (RFC 6052, RFC 8215),
// and the last 32 bits, inverted, of a Teredo address (RFC 4380). What a
// database itself has for these blocks isn't asked: MaxMind's takes the Teredo
// server for the client. Nobody becomes private by such an address, whatever
// it carries: anyone may write one, so it is unlocated then. So is an
// IPv4-compatible address (::/96, deprecated by RFC 4291), which databases
// would take for the IPv4 address.
package geo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/exitgate/exitgate/internal/watch"
	"github.com/exitgate/exitgate/policy"
)

// Embedded stands for the embedded database in Options.Files, and is its
// Database.Path.
const Embedded = "embedded"

// Options say which databases to use and how.
type Options struct {
	// Files are the operator's databases in the order in which they are
	// asked. Empty: the embedded one. The word "embedded" among them is it
	// too, not a file.
	Files []string
	// Corrections are files in the format of RFC 8805 that are asked before the
	// databases.
	Corrections []string
	// RegisteredCountry permits registered_country where a database has no
	// country.
	RegisteredCountry bool
	// AllowOlder permits to replace a database by one that was built earlier.
	AllowOlder bool
	// CopyFolder is where Watch writes a copy of each file in use. In place of
	// a file that it can't use Open takes its copy, and reports the error as
	// for a file that was valid before; Review compares the databases with those
	// of which there are copies. Empty: there are none.
	CopyFolder string
	// Hold says how much a database may lose before it is held, and Restricted
	// returns the jurisdictions whose losses count for themselves.
	Hold       Limits
	Restricted func() []policy.Code
	// Decided returns what was decided on a database with a SHA-256, in
	// hexadecimal. After it has changed call Reconsider.
	Decided func(sha256 string) Decision

	Logger *slog.Logger     // default: discards
	Now    func() time.Time // default: time.Now

	// OnReload, if set, is called after each attempt to take a changed file
	// into use: with nil when it is in use, with the error when it is invalid
	// and the one before stays. Not for a file with the same content.
	OnReload func(path string, err error)
}

// A Locator locates addresses. Its methods may be called concurrently.
type Locator struct {
	options Options
	inUse   atomic.Pointer[set]

	copying sync.Mutex // guards the folder of copies

	reload sync.Mutex // guards what follows
	files  []*file
	start  *startHold // nil: nothing is held against what located clients before the start, all together
}

// Open opens the databases that the options name. The error is all that is wrong
// with any of them.
func Open(options Options) (*Locator, error) {
	if len(options.Files) == 0 {
		options.Files = []string{Embedded}
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Decided == nil {
		options.Decided = func(string) Decision { return Decision{} }
	}
	if options.OnReload == nil {
		options.OnReload = func(string, error) {}
	}

	l := &Locator{options: options}
	var errs []error
	paths := slices.Concat(options.Corrections, options.Files)
	for i, path := range paths {
		if slices.Contains(paths[:i], path) {
			errs = append(errs, fmt.Errorf("geo database %s is named twice: name it once", path))
			continue
		}
		f := &file{path: path, corrections: i < len(options.Corrections)}
		if err := f.open(options.RegisteredCountry); err != nil {
			backup, noCopy := copyFolder(options.CopyFolder).open(path, f.parser(options.RegisteredCountry))
			if noCopy != nil {
				errs = append(errs, err)
				continue
			}
			f.db, f.err, f.since = backup, err, options.Now()
		}
		l.files = append(l.files, f)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(l.files, func(f *file) bool { return f.db.role&RolePlace != 0 && !f.corrections }) {
		return nil, errors.New("no geo database has countries: add a Country or City database, or \"embedded\", to " +
			strings.Join(options.Files, ", "))
	}
	for _, f := range l.files {
		if f.err != nil {
			options.Logger.Error("geo database invalid, its last good copy is used", "path", f.path, "error", f.err)
			options.OnReload(f.path, f.err)
		}
		l.log("geo database in use", f.db)
	}
	l.publish()
	return l, nil
}

// Locate returns the place of an address. It takes no lock, allocates nothing
// and decodes nothing.
func (l *Locator) Locate(addr netip.Addr) policy.Place {
	addr, _, private := subject(addr)
	if !addr.IsValid() {
		return policy.Place{Private: private}
	}
	return l.inUse.Load().locate(addr)
}

// A Description is what the databases have about an address, and which has what.
type Description struct {
	Place policy.Place
	// Address is the one that was looked up, Form how it was found in the one
	// asked about: empty, or IPv4-mapped, 6to4, NAT64 or Teredo. Address is
	// zero if no database was asked.
	Address netip.Addr
	Form    string
	// The paths of the databases that these are from; empty where none has it.
	CountryFrom, SubdivisionsFrom, AnonymousFrom, ASNFrom string
	// ASN is the number of the autonomous system that announces the address,
	// Organisation whose it is; zero and empty where unknown.
	ASN          uint32
	Organisation string
}

// Describe returns what Locate returns and how it came about. It decodes and
// allocates: it is for people, not for each request.
func (l *Locator) Describe(addr netip.Addr) Description {
	addr, form, private := subject(addr)
	description := Description{Place: policy.Place{Private: private}}
	if addr.IsValid() {
		description = l.inUse.Load().describe(addr)
	}
	description.Form = form.String()
	return description
}

// A Database is one that is in use, and the state of its file.
type Database struct {
	Path  string // "embedded" for the embedded one
	Type  string // of its metadata: GeoLite2-City
	Build time.Time
	Role  Role
	// Err is why the file, as it is now, is not in use; nil if it is. Since is
	// when that was first seen.
	Err   error
	Since time.Time
}

// Databases returns the databases in use, in the operator's order.
func (l *Locator) Databases() []Database {
	return slices.Clone(l.inUse.Load().status)
}

// Capability returns what the databases in use, and those before a start that clients
// are located by besides, can tell apart. It is shared: don't
// change it.
func (l *Locator) Capability() *policy.Capability { return l.inUse.Load().capability }

// settle is how long a changed file must look the same before it is read:
// somebody may still be writing it.
const settle = 250 * time.Millisecond

// Watch takes changed files into use until the context ends.
func (l *Locator) Watch(ctx context.Context) {
	paths := slices.DeleteFunc(slices.Concat(l.options.Corrections, l.options.Files), func(path string) bool { return path == Embedded })
	watch.Files(ctx, paths, watch.Options{Settle: settle, Logger: l.options.Logger}, func() {
		_ = l.reloadIf((*file).changed) // logged, and handed to OnReload
		l.writeCopies()
	})
}

// reloadIf reads the wanted files and takes those that have changed into use. It
// returns what is wrong with the ones that are not in use as they are now. What was
// in use stays in use then.
func (l *Locator) reloadIf(wanted func(*file) bool) error {
	l.reload.Lock()
	defer l.reload.Unlock()
	var errs []error
	for _, f := range l.files {
		if wanted(f) {
			errs = append(errs, l.reloadFile(f))
		}
	}
	return errors.Join(errs...)
}

func (l *Locator) reloadFile(f *file) error {
	switch l.read(f) {
	case unchanged:
		return f.err
	case changing:
		return f.wrap(errChanging)
	case invalid:
		if f.since.IsZero() {
			f.since = l.options.Now()
		}
		l.options.Logger.Error("geo database invalid, the one in use stays", "path", f.path, "error", f.err)
	case held:
		l.logHold(f.path, f.losses)
	case replaced:
		if l.start != nil {
			l.compare(l.start.before)
		}
		l.log("geo database replaced", f.db)
	case recovered:
		l.log("geo database is again the one in use", f.db)
	}
	l.publish()
	l.options.OnReload(f.path, f.err)
	return f.err
}

// writeCopies writes copies of the files in use. While it is undecided whether they
// may take the place of those before the start, the copies of these stay.
func (l *Locator) writeCopies() {
	l.copying.Lock()
	defer l.copying.Unlock()
	l.reload.Lock()
	undecided, located := l.start != nil, l.locating(nil, nil)
	var others []*database
	for _, f := range l.files {
		if !slices.Contains(located, f.db) {
			others = append(others, f.db)
		}
	}
	l.reload.Unlock()
	if undecided {
		return
	}
	if err := copyFolder(l.options.CopyFolder).write(located, others); err != nil {
		l.options.Logger.Warn("no copy of the geo databases for the next start", "error", err)
	}
}

func (l *Locator) log(message string, db *database) {
	l.options.Logger.Info(message, "path", db.path, "type", db.kind(),
		"build", db.build(), "role", db.role.String(), "places", len(db.places)-1)
}

// publish makes the files' databases the set that look-ups use.
func (l *Locator) publish() {
	s := &set{}
	for _, f := range l.files {
		s.status = append(s.status, Database{
			Path: f.path, Type: f.db.kind(), Build: f.db.build(), Role: f.db.role,
			Err: f.err, Since: f.since,
		})
		s.all = append(s.all, f.db)
		if f.db.role&locates != 0 {
			s.located = append(s.located, f.db)
		}
	}
	s.capability = capability(s.all)
	if l.start != nil { // whom those before locate gets what they say, too
		s.capability = capability(slices.Concat(s.all, l.start.before))
	}
	l.withHeld(s)
	l.inUse.Store(s)
}

// A set is the databases that are in use together. It is immutable.
type set struct {
	located []*database // with places or anonymous addresses: one at least
	all     []*database
	status  []Database

	capability *policy.Capability

	held  *set // what is held, with the rest; nil if nothing is
	holds []Hold
}

func (s *set) locate(addr netip.Addr) policy.Place {
	first, others := s.located[0].find(addr), s.located[1:]
	if len(others) == 0 {
		return *first
	}
	place := *first
	for _, db := range others {
		if db.mayAddTo(&place) {
			add(&place, db.find(addr))
		}
	}
	return place
}

func (s *set) describe(addr netip.Addr) Description {
	d := Description{Address: addr}
	for _, db := range s.all {
		before := d.Place
		if db.mayAddTo(&d.Place) {
			add(&d.Place, db.find(addr))
		}
		if d.Place.Country != before.Country {
			d.CountryFrom = db.source(addr)
		}
		if d.Place.Subdivisions != before.Subdivisions {
			d.SubdivisionsFrom = db.source(addr)
		}
		if d.Place.Anonymous != before.Anonymous {
			d.AnonymousFrom = db.path
		}
		if d.ASN == 0 && db.role&RoleASN != 0 {
			if d.ASN, d.Organisation = db.autonomousSystem(addr); d.ASN != 0 {
				d.ASNFrom = db.path
			}
		}
	}
	return d
}

// add completes a place by what another database found.
func add(place, found *policy.Place) {
	switch {
	case place.Country == "":
		place.Country, place.Subdivisions = found.Country, found.Subdivisions
	case place.Country == found.Country && !subdivided(place):
		place.Subdivisions = found.Subdivisions
	}
	if found.Anonymous {
		place.Anonymous = true
	}
}

func subdivided(place *policy.Place) bool {
	return place.Subdivisions[0] != "" || place.Subdivisions[1] != ""
}
