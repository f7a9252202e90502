package geo

import (
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/iso3166"
)

// A coverage is how much of the address space each country and subdivision of a
// database has, and policy.Anonymous.
type coverage map[policy.Code]policy.Coverage

// cover returns the coverage of a database's places.
func (db *database) cover() coverage {
	c := make(coverage)
	for i, addresses := range db.measure() {
		place := &db.places[i]
		if place.Anonymous {
			c[policy.Anonymous] = policy.Coverage{All: c[policy.Anonymous].All.Add(addresses)}
		}
		if place.Country == "" || addresses == (policy.Addresses{}) {
			continue
		}
		country := c[place.Country]
		country.All = country.All.Add(addresses)
		if subdivided(place) {
			country.Subdivided = country.Subdivided.Add(addresses)
		}
		c[place.Country] = country
		coarse, fine := place.Subdivisions[0], place.Subdivisions[1]
		if s, _ := iso3166.LookupSubdivision(string(fine)); coarse == "" {
			coarse = policy.Code(s.Parent) // what a database leaves out, a policy knows
		}
		for _, code := range []policy.Code{coarse, fine} {
			if code != "" {
				c[code] = policy.Coverage{All: c[code].All.Add(addresses)}
			}
		}
	}
	return c
}

// total returns how much is located to any country.
func (c coverage) total() (all policy.Addresses) {
	for code, of := range c {
		if len(code) == 2 {
			all = all.Add(of.All)
		}
	}
	return all
}

// capability returns what databases can tell apart together. A place has the
// addresses of the database that has most of them.
func capability(databases []*database) *policy.Capability {
	all := &policy.Capability{Places: make(map[policy.Code]policy.Coverage)}
	for _, db := range databases {
		all.Anonymous = all.Anonymous || db.role&RoleAnonymous != 0
		for code, one := range db.coverage {
			if code == policy.Anonymous {
				continue
			}
			most := all.Places[code]
			most.All, most.Subdivided = larger(most.All, one.All), larger(most.Subdivided, one.Subdivided)
			all.Places[code] = most
		}
	}
	return all
}

func larger(a, b policy.Addresses) policy.Addresses {
	return policy.Addresses{IPv4: max(a.IPv4, b.IPv4), IPv6: max(a.IPv6, b.IPv6)}
}

// maxDepth is how many bits an address has, and so how deep a tree can be that
// look-ups see.
const maxDepth = 128

// measure returns how much of the address space leads to each place, by its
// number in places.
//
// It hands the addresses of the root down, node by node in the order in which
// they lie in the file. In the files of all known writers a node lies before
// those that it leads to, so that once through is enough; however a file is
// made, as many times as an address has bits are.
func (db *database) measure() []policy.Addresses {
	c := make([]policy.Addresses, len(db.places))
	t := db.tree
	weights := make([]float64, t.nodes)
	root, hasIPv6 := t.ipv4Root, len(t.ipv6) > 0
	if root < t.nodes {
		weights[root] = 1 << 32
		t.spread(weights, t.nodes, func(offset uint32, addresses float64) {
			c[db.index.at(offset)].IPv4 += addresses
		})
	} else if root >= t.nodes+16 {
		c[db.index.at(uint32(root-t.nodes-16))].IPv4 += 1 << 32
	}
	if hasIPv6 && t.nodes > 0 {
		clear(weights)
		weights[0] = 1 << 48
		t.spread(weights, root, func(offset uint32, sites float64) {
			c[db.index.at(offset)].IPv6 += sites
		})
	}
	return c
}

// spread hands the weights of nodes down to the records that they lead to, but
// not into the subtree below a node.
func (t *tree) spread(weights []float64, without uint, take func(offset uint32, weight float64)) {
	for again, pass := true, 0; again && pass < maxDepth; pass++ {
		again = false
		for node := range t.nodes {
			half := weights[node] / 2
			if half == 0 {
				continue
			}
			weights[node] = 0
			for _, pointer := range children(t.content[t.recordSize/4*node:], t.recordSize) {
				switch {
				case pointer == without:
				case pointer < t.nodes:
					weights[pointer] += half
					again = again || pointer <= node
				case pointer >= t.nodes+16:
					take(uint32(pointer-t.nodes-16), half)
				}
			}
		}
	}
}
