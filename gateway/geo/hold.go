package geo

import (
	"crypto/sha256"
	"encoding/hex"
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
// before had, or several that do together. Until somebody decides, each client is
// located by both.
type Hold struct {
	Path    string // of the file, the first one of several
	SHA256  string // of the file; where several are held together, of their SHA-256s
	Against string // what it was compared with: Path, Embedded or LastRun
	Build   time.Time
	Since   time.Time
	Losses  []Loss
}

// LastRun, as Hold.Against, stands for the databases that located clients before the
// start, all together.
const LastRun = "last-run"

// Rejectable reports whether there is a database before this one to go on with. Where
// there is none, or databases were added, taken away or put in another order, it is
// for the operator to start with others.
func (h Hold) Rejectable() bool { return h.Against == h.Path }

// A Decision is what was decided on a database, whatever its file is named.
type Decision struct {
	Accepted bool   // it may be used whatever it lacks
	Rejected string // by whom and why it may not; "" if it wasn't
}

func (l *Locator) decided(checksum [sha256.Size]byte) Decision {
	return l.options.Decided(hex.EncodeToString(checksum[:]))
}

// gone is from how many addresses or networks on a country that nobody
// restricts may not vanish: small ones come and go.
const gone = 1 << 16

// losses returns what clients would no longer be located to, beyond the limits, if
// databases took the place of those before.
func (l *Locator) losses(limits Limits, before, after []*database) []Loss {
	if limits == (Limits{}) {
		return nil
	}
	return limits.losses(cover(before), cover(after), l.restricted())
}

// lossesBy returns what is lost if another database takes the place of a file's.
func (l *Locator) lossesBy(f *file, before, after *database) []Loss {
	if f.corrections { // they are what the operator says
		return nil
	}
	return l.losses(l.options.Hold, l.locating(f, before), l.locating(f, after))
}

// locating returns the databases that locate clients, in their order, with another
// one in the place of a file's; nil is no file.
func (l *Locator) locating(replaced *file, by *database) (databases []*database) {
	for _, f := range l.files {
		db := f.db
		if f == replaced {
			db = by
		}
		if !f.corrections && db.role&locates != 0 {
			databases = append(databases, db)
		}
	}
	return databases
}

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
	if l.start != nil {
		s.holds = append(s.holds, l.start.hold)
		other.located = append(other.located, l.start.before...)
	}
	for _, f := range l.files {
		if f.corrections {
			continue
		}
		db := f.db
		if f.held != nil {
			db = f.held
			s.holds = append(s.holds, Hold{Path: f.path, SHA256: hex.EncodeToString(db.checksum[:]), Against: f.path, Build: db.build(), Since: f.heldSince, Losses: f.losses})
		}
		if db.role&RoleAnonymous != 0 || db.role&RolePlace != 0 && l.start == nil {
			other.located = append(other.located, db)
		}
	}
	if s.holds != nil {
		s.held = other
	}
}

// Reconsider goes by what was decided since on databases that are held, or were
// rejected.
func (l *Locator) Reconsider() {
	if l.reconsider() {
		l.writeCopies()
	}
}

// reconsider reports whether anything has changed.
func (l *Locator) reconsider() (changed bool) {
	l.reload.Lock()
	defer l.reload.Unlock()
	for _, f := range l.files {
		switch {
		case f.held != nil:
			decision := l.decided(f.held.checksum)
			switch {
			case decision.Accepted:
				f.accept(f.held)
				l.log("geo database accepted", f.db)
			case decision.Rejected != "":
				f.rejectBy(decision, f.held.checksum, l.options.Now())
				l.options.Logger.Error("geo database rejected, the one before stays", "path", f.path, "error", f.err)
			default:
				continue
			}
			changed = true
		case f.rejected && l.decided(f.invalidChecksum).Rejected == "":
			f.invalidChecksum = [sha256.Size]byte{}
			_ = l.reloadFile(f) // logged, and handed to OnReload
			changed = true
		}
	}
	if l.start != nil && (changed || l.accepted(l.start)) {
		l.compare(l.start.before)
		changed = true
	}
	if changed {
		l.publish()
	}
	return changed
}
