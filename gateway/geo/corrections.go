package geo

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"net/netip"
	"slices"

	"github.com/exitgate/exitgate/policy"
)

// A correction is a line of a file of corrections.
type correction struct {
	prefix netip.Prefix
	place  policy.Place
	line   int
}

// parseCorrections reads what the operator knows better than databases, in the
// format of RFC 8805: prefix, country, region, city, postal code. Of the last
// two nothing is used. The narrowest prefix holds. The errors name no file.
func parseCorrections(content []byte) (*database, error) {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(content, []byte("\ufeff"))))
	r.Comment, r.FieldsPerRecord, r.TrimLeadingSpace, r.LazyQuotes = '#', -1, true, true
	var all []correction
	var errs []error
	seen := make(map[netip.Prefix]int)
	for {
		fields, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("isn't CSV: %w", err)
		}
		line, _ := r.FieldPos(0)
		c, err := parseCorrection(fields)
		if before, twice := seen[c.prefix]; err == nil && twice {
			err = fmt.Errorf("%s is in line %d already: remove one", c.prefix, before)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", line, err))
			continue
		}
		c.line = line
		seen[c.prefix] = line
		all = append(all, c)
	}
	switch {
	case errs != nil:
		return nil, fmt.Errorf("has lines that are wrong: %w", errors.Join(errs...))
	case all == nil:
		return nil, errors.New("has no corrections: write lines as 192.0.2.0/24,US,US-MS,,")
	}
	db := &database{corrections: content, checksum: sha256.Sum256(content), role: RolePlace, places: []policy.Place{{}}}
	db.plant(all)
	db.coverage = db.cover()
	return db, nil
}

func parseCorrection(fields []string) (c correction, err error) {
	prefix, err := netip.ParsePrefix(fields[0])
	if err != nil {
		address, err := netip.ParseAddr(fields[0])
		if err != nil {
			return c, fmt.Errorf("%q is not a network: write it as 192.0.2.0/24 or 2001:db8::/32", fields[0])
		}
		prefix = netip.PrefixFrom(address, address.BitLen())
	}
	first := prefix.Addr()
	field := func(i int) string {
		if i < len(fields) {
			return fields[i]
		}
		return ""
	}
	c = correction{prefix: prefix, place: policy.Place{Country: country(field(1))}}
	c.place.Subdivisions[0] = subdivision(c.place.Country, field(2))
	_, form, _ := subject(first)
	switch {
	case prefix != prefix.Masked():
		return c, fmt.Errorf("%s has bits set behind its length: write it as %s", prefix, prefix.Masked())
	case prefix.Bits() == 0, first.Is6() && prefix.Contains(netip.IPv6Unspecified()):
		return c, fmt.Errorf("%s is no network of clients", prefix)
	case isPrivate(first):
		return c, fmt.Errorf("%s is private: its clients are located by no database", prefix)
	case form != native:
		return c, fmt.Errorf("%s has addresses that carry IPv4 addresses (%s): correct these", prefix, form)
	case c.place.Country == "":
		return c, fmt.Errorf("%q is not the ISO 3166-1 code of a country", field(1))
	case field(2) != "" && c.place.Subdivisions[0] == "":
		return c, fmt.Errorf("%q is not the ISO 3166-2 code of a subdivision of %s", field(2), c.place.Country)
	}
	c.place = canonical(c.place)
	return c, nil
}

// plant makes the search tree of corrections, as a database file has it, with
// records of 32 bits and IPv4 below ::/96. What stands for a record's offset is
// the correction's number.
func (db *database) plant(all []correction) {
	slices.SortStableFunc(all, func(a, b correction) int { return cmp.Compare(depth(a.prefix), depth(b.prefix)) })
	const nothing = -1 // a correction is -2 - its number
	nodes := [][2]int{{nothing, nothing}}
	for i, c := range all {
		address := c.prefix.Addr().As16()
		if c.prefix.Addr().Is4() {
			copy(address[:12], make([]byte, 12)) // not mapped
		}
		node := 0
		for bit := range depth(c.prefix) {
			side := address[bit/8] >> (7 - bit%8) & 1
			if bit == depth(c.prefix)-1 {
				nodes[node][side] = -2 - i
				break
			}
			next := nodes[node][side]
			if next < 0 { // wider corrections come first: what lies beside stays theirs
				nodes = append(nodes, [2]int{next, next})
				next = len(nodes) - 1
				nodes[node][side] = next
			}
			node = next
		}
		db.index.values = append(db.index.values, uint32(len(db.places)))
		db.places = append(db.places, c.place)
		db.lines = append(db.lines, c.line)
		db.subdivided = db.subdivided || subdivided(&c.place)
	}
	content := make([]byte, 0, 8*len(nodes))
	for _, node := range nodes {
		for _, next := range node {
			pointer := next
			switch {
			case next == nothing:
				pointer = len(nodes)
			case next < nothing:
				pointer = len(nodes) + 16 + (-2 - next)
			}
			content = binary.BigEndian.AppendUint32(content, uint32(pointer))
		}
	}
	db.index.fill(len(all))
	db.tree = newTree(content, uint(len(nodes)), 32, 6)
}

// depth is how many bits of the tree lead to a prefix.
func depth(p netip.Prefix) int {
	if p.Addr().Is4() {
		return 96 + p.Bits()
	}
	return p.Bits()
}

// fill makes the table one of all offsets from 0 on.
func (t *offsetTable) fill(count int) {
	t.words = make([]struct {
		bits   uint64
		before uint32
	}, count/64+1)
	for offset := range count {
		t.words[offset/64].bits |= 1 << (offset % 64)
	}
	before := 0
	for i := range t.words {
		t.words[i].before = uint32(before)
		before += bits.OnesCount64(t.words[i].bits)
	}
}

// source names where a database has the place of an address from: its path, and
// the line of a correction.
func (db *database) source(addr netip.Addr) string {
	if offset, found := db.tree.offset(addr); found && db.lines != nil {
		return fmt.Sprintf("%s:%d", db.path, db.lines[offset])
	}
	return db.path
}
