package geo

import (
	"net/netip"

	"github.com/exitgate/exitgate/policy"
)

// OpenContent opens a database as if a file had the content.
func OpenContent(content []byte) (locate func(netip.Addr) policy.Place, err error) {
	db, err := parse(content, true)
	if err != nil {
		return nil, err
	}
	s := &set{located: []*database{db}, all: []*database{db}}
	return func(addr netip.Addr) policy.Place { return s.describe(addr).Place }, nil
}

// Reload reads all files anew.
func (l *Locator) Reload() error {
	return l.reloadIf(func(f *file) bool { return f.path != Embedded })
}

// Cover returns what the databases in use cover together.
func Cover(l *Locator) map[policy.Code]policy.Coverage { return cover(l.inUse.Load().located) }

// LocateAny locates also an address that is private, as a database has it.
func LocateAny(l *Locator, addr netip.Addr) policy.Place { return l.inUse.Load().locate(addr) }

// Places returns each place that occurs in the first database.
func Places(l *Locator) []policy.Place { return l.files[0].db.places }

// RawSubdivisions returns the codes of subdivisions as the first database has
// them, MaxMind's, with the country's.
func RawSubdivisions(l *Locator) map[string]bool {
	db, codes := l.files[0].db, make(map[string]bool)
	for _, offset := range db.index.offsets() {
		var r placeRecord
		if db.reader.LookupOffset(uintptr(offset)).Decode(&r) != nil {
			continue
		}
		for _, s := range r.Subdivisions {
			codes[r.Country.ISOCode+"-"+s.ISOCode] = true
		}
	}
	return codes
}
