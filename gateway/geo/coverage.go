package geo

import (
	"slices"

	"github.com/exitgate/exitgate/policy"
)

// A coverage is how much of the address space each country and subdivision of a
// database has, and policy.Anonymous.
type coverage map[policy.Code]policy.Coverage

// cover returns the coverage of databases that locate clients together, in their
// order: of each address what a look-up finds. Which place that is, and whether it is
// anonymous, doesn't depend on each other.
func cover(databases []*database) coverage {
	c := make(coverage)
	for _, role := range []Role{RolePlace, RoleAnonymous} {
		others := func(db *database) bool { return db.role&role == 0 }
		for code, of := range coverTogether(slices.DeleteFunc(slices.Clone(databases), others)) {
			if (code == policy.Anonymous) == (role == RoleAnonymous) {
				c[code] = of
			}
		}
	}
	return c
}

func coverTogether(databases []*database) coverage {
	if len(databases) == 1 {
		return databases[0].coverage
	}
	c := make(coverage)
	for place, addresses := range measureTogether(databases) {
		c.add(&place, *addresses)
	}
	return c
}

// cover returns the coverage of a database's places.
func (db *database) cover() coverage {
	c := make(coverage)
	for i, addresses := range db.measure() {
		c.add(&db.places[i], addresses)
	}
	return c
}

// add adds addresses that are located to a place.
func (c coverage) add(place *policy.Place, addresses policy.Addresses) {
	if place.Anonymous {
		c[policy.Anonymous] = policy.Coverage{All: c[policy.Anonymous].All.Add(addresses)}
	}
	if place.Country == "" || addresses == (policy.Addresses{}) {
		return
	}
	country := c[place.Country]
	country.All = country.All.Add(addresses)
	if subdivided(place) {
		country.Subdivided = country.Subdivided.Add(addresses)
	}
	c[place.Country] = country
	for _, code := range place.Subdivisions {
		if code != "" {
			c[code] = policy.Coverage{All: c[code].All.Add(addresses)}
		}
	}
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

// maxSteps is how many networks measureTogether looks at. The largest databases there
// are have some ten millions. But a file can be made in which each node is led to
// on many ways; of that, what is beyond counts as located nowhere.
const maxSteps = 1 << 27

// measureTogether returns how much of the address space databases, asked in their
// order, locate to each place.
func measureTogether(databases []*database) map[policy.Place]*policy.Addresses {
	w := walk{databases: databases, found: make(map[policy.Place]*policy.Addresses), steps: maxSteps}
	roots := make([]uint, len(databases))
	for i, db := range databases {
		roots[i] = db.tree.ipv4Root
	}
	w.descend(roots, 0, policy.Addresses{IPv4: 1 << 32})
	w.ipv6 = true
	for i, db := range databases {
		roots[i] = db.tree.nodes // nothing
		if len(db.tree.ipv6) > 0 {
			roots[i] = 0
		}
	}
	w.descend(roots, 0, policy.Addresses{IPv6: 1 << 48})
	return w.found
}

// A walk goes down the trees of databases at once.
type walk struct {
	databases []*database
	ipv6      bool
	pointers  [maxDepth][]uint // what is looked at, by depth
	found     map[policy.Place]*policy.Addresses
	steps     int // that are left
}

// descend counts the addresses of the network to which pointers lead, one in
// each tree, to their places.
func (w *walk) descend(pointers []uint, depth int, addresses policy.Addresses) {
	if w.steps--; w.steps < 0 {
		return
	}
	var place policy.Place
	for i, db := range w.databases {
		switch t := db.tree; {
		case !db.mayAddTo(&place):
		case w.ipv6 && pointers[i] == t.ipv4Root: // has been counted
		case pointers[i] < t.nodes:
			w.halve(pointers, depth, addresses)
			return
		case pointers[i] >= t.nodes+16:
			add(&place, &db.places[db.index.at(uint32(pointers[i]-t.nodes-16))])
		}
	}
	of := w.found[place]
	if of == nil {
		of = new(policy.Addresses)
		w.found[place] = of
	}
	*of = of.Add(addresses)
}

// halve descends to both halves of a network.
func (w *walk) halve(pointers []uint, depth int, addresses policy.Addresses) {
	if depth == maxDepth { // can't be: verify has seen that all ways end before
		return
	}
	if w.pointers[depth] == nil {
		w.pointers[depth] = make([]uint, len(w.databases))
	}
	half := policy.Addresses{IPv4: addresses.IPv4 / 2, IPv6: addresses.IPv6 / 2}
	next := w.pointers[depth]
	for bit := range uint(2) {
		for i, db := range w.databases {
			if next[i] = pointers[i]; next[i] < db.tree.nodes {
				next[i] = db.tree.child(next[i], bit)
			}
		}
		w.descend(next, depth+1, half)
	}
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
