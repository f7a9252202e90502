package geo

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/exitgate/exitgate/policy"
)

// A database is a file as it was read at some moment, with all its places
// decoded in advance. It is immutable and lies in memory: once nothing
// refers to it, it is garbage like any other.
type database struct {
	path     string
	checksum [sha256.Size]byte // of the content
	reader   *maxminddb.Reader
	schema   schema
	role     Role

	// places holds each place that occurs, once; the first is the zero Place.
	// Few records differ in what matters here: index says which of them is
	// that of the record at an offset of the data section.
	places []policy.Place
	index  offsetTable
	tree   *tree

	coverage coverage // of its places and anonymous addresses

	// corrections is the file's content if it is one of corrections, and lines are
	// those of its lines, by offset; there is no reader then.
	corrections []byte
	lines       []int

	decoding   decoding
	subdivided bool // some place has a subdivision
}

// sampled is how many records recognise gets to see.
const sampled = 1000

// parse reads a database from the content of a file. The errors name no file.
func parse(content []byte, registeredCountry bool) (db *database, err error) {
	defer func() {
		// The reader is made for well-formed files. A panic of it must not end
		// a process that serves from a valid one.
		if r := recover(); r != nil {
			db, err = nil, damaged(fmt.Errorf("%v", r))
		}
	}()
	reader, err := maxminddb.OpenBytes(content)
	if err != nil {
		return nil, notDatabase(content, err)
	}
	if err := verify(content, reader.Metadata); err != nil {
		return nil, damaged(err)
	}
	db = &database{checksum: sha256.Sum256(content), reader: reader, decoding: decoding{registeredCountry, make(map[[2]string]policy.Code)}}
	if err := db.tabulate(content); err != nil {
		return nil, err
	}
	db.decoding.subdivisions = nil // from here on it is read by many
	return db, nil
}

// mayHave reports whether a database in the content of a file has a type that lets it
// have any of the roles. It looks at no record.
func mayHave(content []byte, roles Role) (may bool) {
	defer func() { _ = recover() }() // as in parse
	reader, err := maxminddb.OpenBytes(content)
	return err == nil && byType(reader.Metadata.DatabaseType)&roles != 0
}

func notDatabase(content []byte, err error) error {
	switch {
	case len(content) == 0:
		return errors.New("is empty: get the file again")
	case bytes.HasPrefix(content, []byte("\x1f\x8b")):
		return errors.New("is compressed with gzip: unpack it first")
	case bytes.HasPrefix(content, []byte("PK\x03\x04")):
		return errors.New("is a zip archive: unpack it first")
	case !bytes.Contains(content, []byte(metadataMarker)):
		return errors.New("is no MaxMind DB file (.mmdb), or one that was cut short: get the file again")
	}
	return damaged(err)
}

func damaged(err error) error {
	return fmt.Errorf("is damaged: %w: get the file again", err)
}

// tabulate recognises the database and decodes the place of every record.
func (db *database) tabulate(content []byte) error {
	metadata := db.reader.Metadata
	db.index = newOffsetTable(content, metadata)
	db.tree = newTree(content, metadata.NodeCount, metadata.RecordSize, metadata.IPVersion)
	offsets := db.index.offsets()
	if len(offsets) == 0 {
		return errors.New("has no records: get the file again")
	}
	seen := fields{}
	for _, offset := range offsets[:min(len(offsets), sampled)] {
		if err := seen.sample(db.reader.LookupOffset(uintptr(offset))); err != nil {
			return damaged(err)
		}
	}
	var err error
	if db.schema, db.role, err = recognise(db.kind(), seen); err != nil {
		return err
	}

	db.places = []policy.Place{{}}
	known := map[policy.Place]uint32{{}: 0}
	for i, offset := range offsets {
		place, err := db.decode(offset)
		if err != nil {
			return damaged(err)
		}
		if _, ok := known[place]; !ok {
			known[place] = uint32(len(db.places))
			db.places = append(db.places, place)
			db.subdivided = db.subdivided || subdivided(&place)
		}
		db.index.values[i] = known[place]
	}
	hasCountry := func(place policy.Place) bool { return place.Country != "" }
	if db.role&RolePlace != 0 && !slices.ContainsFunc(db.places, hasCountry) {
		return fmt.Errorf("is of type %q, but none of its %d records has the ISO 3166-1 code of a country: get the file again",
			db.kind(), len(offsets))
	}
	if db.role&locates != 0 {
		db.coverage = db.cover()
	}
	return nil
}

func (db *database) decode(offset uint32) (policy.Place, error) {
	found, err := db.schema(db.reader.LookupOffset(uintptr(offset)), &db.decoding)
	if db.role&RolePlace == 0 {
		found.place = policy.Place{Anonymous: found.place.Anonymous}
	}
	if db.role&RoleAnonymous == 0 {
		found.place.Anonymous = false
	}
	return found.place, err
}

// find returns the place of an address, the zero Place if there is none. It
// must not be changed.
func (db *database) find(addr netip.Addr) *policy.Place {
	if offset, found := db.tree.offset(addr); found {
		return &db.places[db.index.at(offset)]
	}
	return &db.places[0]
}

func (db *database) autonomousSystem(addr netip.Addr) (number uint32, organisation string) {
	offset, found := db.tree.offset(addr)
	if !found {
		return 0, ""
	}
	facts, err := db.schema(db.reader.LookupOffset(uintptr(offset)), &db.decoding)
	if err != nil {
		return 0, "" // can't be: every record was decoded before
	}
	return facts.asn, facts.organisation
}

// mayAddTo reports whether the database may complete a place.
func (db *database) mayAddTo(place *policy.Place) bool {
	return db.role&RoleAnonymous != 0 ||
		db.role&RolePlace != 0 && (place.Country == "" || db.subdivided && !subdivided(place))
}

// mayReplace returns an error if the database can't be used from now on instead
// of another: a City database replaced by a Country one would open what the
// policy withholds from a subdivision.
func (db *database) mayReplace(old *database, allowOlder bool) error {
	switch {
	case db.corrections != nil:
		return nil
	case old.role != db.role:
		return fmt.Errorf("is of type %q (%s), where %q (%s) is in use: restart exitgate if that is meant",
			db.kind(), db.role, old.kind(), old.role)
	case old.subdivided && !db.subdivided:
		return fmt.Errorf("is of type %q and has no subdivisions, where %q, which has, is in use: restart exitgate if that is meant",
			db.kind(), old.kind())
	case !allowOlder && db.build().Before(old.build()):
		return fmt.Errorf("was built at %s, before the one in use (%s): permit older databases if that is meant",
			db.build().Format(time.RFC3339), old.build().Format(time.RFC3339))
	}
	return nil
}

// kind returns the type that the database says it is of.
func (db *database) kind() string {
	if db.corrections != nil {
		return "corrections"
	}
	return db.reader.Metadata.DatabaseType
}

// build returns when the database was built: zero for corrections, which don't
// say it.
func (db *database) build() time.Time {
	if db.corrections != nil {
		return time.Time{}
	}
	return db.reader.Metadata.BuildTime().UTC()
}

// content returns what the file has.
func (db *database) content() []byte {
	if db.corrections != nil {
		return db.corrections
	}
	return db.tree.content
}
