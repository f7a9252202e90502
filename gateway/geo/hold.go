package geo

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/exitgate/exitgate/policy"
)

// Limits say how much a database may lose, against the one in use, before it is
// held, in percent. They are for collapse: from one quarter to the next a
// subdivision may well lose a tenth of its addresses. 0: nothing of the kind is
// looked at.
type Limits struct {
	Coverage     int // of all addresses that are located to a country
	Jurisdiction int // of a jurisdiction that the policy restricts
}

// A Loss is what a database has less of than the one that it is compared with.
type Loss struct {
	// Jurisdiction is a place or Anonymous; "" is all countries together.
	Jurisdiction policy.Code `json:"jurisdiction,omitempty"`
	Family       string      `json:"family"` // ipv4, in addresses; ipv6, in networks of 48 bits
	Before       float64     `json:"before"`
	After        float64     `json:"after"`
}

// String says what is lost: "IPv4 of FR: 80000000, now 0".
func (l Loss) String() string {
	what := "of all countries"
	if l.Jurisdiction != "" {
		what = "of " + string(l.Jurisdiction)
	}
	unit := "IPv4 addresses"
	if l.Family == "ipv6" {
		unit = "IPv6 networks (/48)"
	}
	return fmt.Sprintf("%s %s: %.0f, before %.0f", unit, what, l.After, l.Before)
}

// A Hold is a database that isn't trusted yet, as it lacks much of what the one
// before had. Until somebody decides, each client is located by both.
type Hold struct {
	Path    string // of the file
	Against string // what it was compared with: the path, or Embedded at a first start
	Build   time.Time
	Since   time.Time
	Losses  []Loss
}

// gone is from how many addresses or networks on a country that nobody
// restricts may not vanish: small ones come and go.
const gone = 1 << 16

// losses returns what a coverage lacks, beyond the limits, of one before.
func (l Limits) losses(before, after coverage, restricted []policy.Code) (all []Loss) {
	for _, family := range []struct {
		name string
		of   func(policy.Addresses) float64
	}{
		{"ipv4", func(a policy.Addresses) float64 { return a.IPv4 }},
		{"ipv6", func(a policy.Addresses) float64 { return a.IPv6 }},
	} {
		look := func(code policy.Code, was, is policy.Addresses, limit int) {
			if limit > 0 && family.of(was) > 0 && family.of(is) <= family.of(was)*(1-float64(limit)/100) {
				all = append(all, Loss{code, family.name, family.of(was), family.of(is)})
			}
		}
		look("", before.total(), after.total(), l.Coverage)
		var codes []policy.Code
		for code := range before {
			codes = append(codes, code)
		}
		slices.Sort(codes)
		for _, code := range codes {
			was, is := before[code].All, after[code].All
			switch {
			case slices.Contains(restricted, code):
				look(code, was, is, l.Jurisdiction)
			case len(code) == 2 && family.of(was) >= gone:
				look(code, was, is, min(l.Coverage, 1)*100)
			}
		}
	}
	return all
}

// formatLosses says what is lost, the first ones of many.
func formatLosses(losses []Loss) string {
	const most = 8
	var lines []string
	for _, loss := range losses[:min(len(losses), most)] {
		lines = append(lines, loss.String())
	}
	if more := len(losses) - most; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "; ")
}

// restricted returns what the policy restricts.
func (l *Locator) restricted() []policy.Code {
	if l.options.Restricted == nil {
		return nil
	}
	return l.options.Restricted()
}

// limits returns what a file may lose: corrections are what the operator says.
func (l *Locator) limits(f *file) Limits {
	if f.corrections {
		return Limits{}
	}
	return l.options.Hold
}

// Review compares the databases that were opened with the ones of the last run,
// of which there are copies, or at a first start with the embedded one, and
// holds those that have lost too much. Call it when the policy is known, and
// before anybody is served.
func (l *Locator) Review() {
	l.reload.Lock()
	defer l.reload.Unlock()
	known := false
	for _, f := range l.files {
		if f.corrections {
			continue
		}
		if f.path == Embedded || f.err != nil {
			known = known || f.db.role&RolePlace != 0
			continue
		}
		copies := copyFolder(l.options.CopyFolder).of(f.path)
		known = known || f.db.role&RolePlace != 0 && len(copies) > 0
		if len(copies) == 0 || slices.Contains(copies, copyFolder(l.options.CopyFolder).name(f.path, f.db.checksum)) {
			continue
		}
		before, err := copyFolder(l.options.CopyFolder).open(f.path, f.parser(l.options.RegisteredCountry))
		if err != nil {
			continue // there is nothing to compare with
		}
		if losses := l.options.Hold.losses(before.coverage, f.db.coverage, l.restricted()); losses != nil {
			f.hold(f.db, losses, l.options.Now())
			f.db = before
			l.logHold(f.path, losses)
		}
	}
	if !known {
		l.compareWithEmbedded()
	}
	l.publish()
}

// compareWithEmbedded holds the operator's databases at a first start if they
// lack what the embedded one has. Between databases of different makers small
// places differ by far: only one that is gone counts.
func (l *Locator) compareWithEmbedded() {
	l.first, l.firstHold = nil, Hold{}
	if l.options.Hold == (Limits{}) {
		return
	}
	f := &file{path: Embedded}
	if err := f.open(l.options.RegisteredCountry); err != nil {
		return // can't be: it is part of the program
	}
	var path string
	var all []*database
	for _, f := range l.files {
		if f.corrections {
			continue
		}
		all = append(all, f.db)
		if path == "" && f.db.role&RolePlace != 0 {
			path = f.path
		}
	}
	limits := l.options.Hold
	limits.Jurisdiction = min(limits.Jurisdiction, 1) * 100
	losses := limits.losses(f.db.coverage, capability(all).Places, l.restricted())
	if losses == nil {
		return
	}
	l.first = f.db
	l.firstHold = Hold{Path: path, Against: Embedded, Build: all[0].build(), Since: l.options.Now(), Losses: losses}
	l.logHold(path, losses)
}

func (l *Locator) logHold(path string, losses []Loss) {
	l.options.Logger.Error("geo database held: it has lost too much; clients are located by it and by the one before, and get the stricter of both until somebody decides",
		"path", path, "lost", formatLosses(losses), "decide", "exitgate geo diff, accept, reject")
}

// hold notes that a database isn't trusted yet.
func (f *file) hold(db *database, losses []Loss, since time.Time) {
	db.path = f.path
	f.held, f.losses, f.heldSince = db, losses, since
}

// LocateHeld returns the place of an address by the databases that are held; held
// is false if none is. The stricter decision on this place and on that of
// [Locator.Locate] counts. It allocates nothing.
func (l *Locator) LocateHeld(addr netip.Addr) (place policy.Place, held bool) {
	other := l.inUse.Load().held
	if other == nil {
		return policy.Place{}, false
	}
	addr, _, private := subject(addr)
	if !addr.IsValid() {
		return policy.Place{Private: private}, true
	}
	return other.locate(addr), true
}

// Holds returns the databases that are held.
func (l *Locator) Holds() []Hold { return l.inUse.Load().holds }

// withHeld adds to the set of databases in use the one of those that are held.
func (l *Locator) withHeld(s *set) {
	other := &set{}
	for _, f := range l.files { // corrections come first, of all that there is
		if f.corrections {
			other.located = append(other.located, f.db)
		}
	}
	if l.first != nil {
		s.holds = append(s.holds, l.firstHold)
		other.located = append(other.located, l.first)
	}
	for _, f := range l.files {
		if f.corrections {
			continue
		}
		db := f.db
		if f.held != nil {
			db = f.held
			s.holds = append(s.holds, Hold{Path: f.path, Against: f.path, Build: db.build(), Since: f.heldSince, Losses: f.losses})
		}
		if db.role&RoleAnonymous != 0 || db.role&RolePlace != 0 && l.first == nil {
			other.located = append(other.located, db)
		}
	}
	if s.holds != nil {
		s.held = other
	}
}

// Accept takes a database that is held into use.
func (l *Locator) Accept(path string) error {
	err := l.decide(path, func(f *file) error {
		if f == nil {
			l.first, l.firstHold = nil, Hold{}
			return nil
		}
		f.accept(f.held)
		return nil
	})
	if err == nil {
		l.writeCopies()
	}
	return err
}

// Reject gives up a database that is held: the one before stays, until the file
// changes.
func (l *Locator) Reject(path, because string) error {
	return l.decide(path, func(f *file) error {
		if f == nil {
			return fmt.Errorf("there is none before %s to go on with: put a better one in its place, or accept it", path)
		}
		checksum := f.held.checksum
		f.held, f.losses = nil, nil
		f.reject(fmt.Errorf("was rejected: %s", because), checksum)
		f.since = l.options.Now()
		return nil
	})
}

// decide decides on a database that is held; a nil file is the hold of a first
// start.
func (l *Locator) decide(path string, do func(*file) error) error {
	l.reload.Lock()
	defer l.reload.Unlock()
	var err error
	i := slices.IndexFunc(l.files, func(f *file) bool { return f.held != nil && f.path == path })
	switch {
	case i >= 0:
		err = do(l.files[i])
	case l.first != nil && l.firstHold.Path == path:
		err = do(nil)
	default:
		err = fmt.Errorf("no database %s is held", path)
	}
	l.publish()
	return err
}
