package geo

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"slices"

	"github.com/exitgate/exitgate/policy"
)

// locates are the roles of the databases that locate clients.
const locates = RolePlace | RoleAnonymous

// Review compares the databases that were opened with those that located clients
// before, of which there are copies, or at a first start with the embedded one, and
// holds those that have lost too much. Call it when the policy and what was
// decided are known, and before anybody is served.
//
// First each is compared with the one that it took the place of, as if it had been
// renamed over it, whatever its file is named. Then all are, together: databases may
// have been added, taken away or put in another order.
func (l *Locator) Review() {
	l.reload.Lock()
	defer l.reload.Unlock()
	rejected := func(f *file) bool { return l.decided(f.db.checksum).Rejected != "" }
	if l.options.Hold == (Limits{}) && !slices.ContainsFunc(l.files, rejected) {
		return
	}
	before, changed := l.lastRun()
	if !changed {
		return
	}
	predecessors := l.predecessors(before)
	for _, f := range l.files {
		if predecessor := predecessors[f]; predecessor != nil {
			l.review(f, predecessor)
		}
	}
	l.compare(before)
	l.publish()
}

// lastRun returns the databases that located clients before this start, in their
// order, and reports whether they are others than now. At a first start it is the
// embedded one, which also makes up for what can't be read any more.
func (l *Locator) lastRun() (before []*database, changed bool) {
	now := l.locating(nil, nil)
	names, err := copyFolder(l.options.CopyFolder).inUse()
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			l.options.Logger.Error("which geo databases were in use can't be read, all copies of today's files and the latest others count", "error", err)
		}
		names = l.guessInUse()
	}
	if len(names) > 0 && slices.EqualFunc(names, now, isCopyOf) {
		return now, false
	}
	lost := false
	for _, name := range names {
		db, err := l.openLast(name, now)
		if err != nil {
			lost = true
			l.options.Logger.Error("copy of a geo database of the last run invalid, the databases are compared with the embedded one, too", "error", err)
			continue
		}
		before = append(before, db)
	}
	if (lost || !slices.ContainsFunc(before, isPlace)) && !slices.ContainsFunc(before, isEmbedded) {
		before = append(before, l.embedded())
	}
	return before, true
}

// openLast opens a database of the last run by the name of its copy: it may be one
// of those that locate clients now.
func (l *Locator) openLast(name string, now []*database) (*database, error) {
	if i := slices.IndexFunc(now, func(db *database) bool { return isCopyOf(name, db) }); i >= 0 {
		return now[i], nil
	}
	if isOfFile(name, Embedded) { // maybe that of another version
		return l.embedded(), nil
	}
	db, err := copyFolder(l.options.CopyFolder).read(name, l.parseDatabase)
	if err != nil {
		return nil, err
	}
	for _, f := range l.files {
		if isOfFile(name, f.path) {
			db.path = f.path
		}
	}
	return db, nil
}

func (l *Locator) parseDatabase(content []byte) (*database, error) {
	return parse(content, l.options.RegisteredCountry)
}

// embedded returns the embedded database.
func (l *Locator) embedded() *database {
	if i := slices.IndexFunc(l.files, func(f *file) bool { return f.path == Embedded }); i >= 0 {
		return l.files[i].db
	}
	f := &file{path: Embedded}
	if err := f.open(l.options.RegisteredCountry); err != nil {
		panic(err) // can't be: it is part of the program
	}
	return f.db
}

func isEmbedded(db *database) bool { return db.path == Embedded }

func isPlace(db *database) bool { return db.role&RolePlace != 0 }

// guessInUse returns the names of the copies of the databases that located clients
// before, if an earlier version wrote them: those of today's files, and of all other
// files the latest one of each role. What it kept of others may be years old.
func (l *Locator) guessInUse() (names []string) {
	copies := copyFolder(l.options.CopyFolder)
	others := copies.all()
	for _, f := range l.files {
		of := func(name string) bool { return isOfFile(name, f.path) }
		for _, name := range others {
			if of(name) && !f.corrections && f.db.role&locates != 0 {
				names = append(names, name)
			}
		}
		others = slices.DeleteFunc(others, of)
	}
	slices.SortStableFunc(others, func(a, b string) int { return copies.written(b).Compare(copies.written(a)) })
	missing := locates
	parse := func(content []byte) (*database, error) {
		if !mayHave(content, missing) {
			return nil, errors.New("another one has its roles")
		}
		return l.parseDatabase(content)
	}
	for _, name := range others {
		if db, err := copies.read(name, parse); err == nil && db.role&missing != 0 {
			names = append(names, name)
			missing &^= db.role
		}
	}
	return names
}

// predecessors returns which of the databases that located clients before each
// file's takes the place of: the one with its content, at its path, of its type or
// at least of its roles, in this order. A file has none if it has been added.
func (l *Locator) predecessors(before []*database) map[*file]*database {
	found := make(map[*file]*database)
	rest := slices.Clone(before)
	for _, matches := range []func(*file, *database) bool{
		func(f *file, db *database) bool { return db.checksum == f.db.checksum },
		func(f *file, db *database) bool { return db.path == f.path },
		func(f *file, db *database) bool { return f.replaces(db) && db.kind() == f.db.kind() },
		(*file).replaces,
	} {
		for _, f := range l.files {
			if found[f] != nil || f.corrections {
				continue
			}
			if i := slices.IndexFunc(rest, func(db *database) bool { return matches(f, db) }); i >= 0 {
				found[f] = rest[i]
				rest = slices.Delete(rest, i, i+1)
			}
		}
	}
	return found
}

// replaces reports whether the file's database has the roles of one that may have
// been in another file.
func (f *file) replaces(db *database) bool {
	return f.path != Embedded && !isEmbedded(db) && f.err == nil && db.role&locates == f.db.role&locates
}

// review compares a file's database with the one that it takes the place of.
func (l *Locator) review(f *file, before *database) {
	now := f.db
	if now.checksum == before.checksum || f.path == Embedded || f.err != nil {
		return
	}
	decision := l.decided(now.checksum)
	switch {
	case decision.Rejected != "":
		f.goBack(before)
		f.rejectBy(decision, now.checksum, l.options.Now())
		l.options.Logger.Error("geo database rejected, the one before stays", "path", f.path, "error", f.err)
	case decision.Accepted:
	default:
		if losses := l.lossesBy(f, before, now); losses != nil {
			f.goBack(before)
			f.hold(now, losses, l.options.Now())
			l.logHold(f.path, losses)
		}
	}
}

// goBack has the file's database be one of before the start.
func (f *file) goBack(before *database) {
	db := *before
	db.path = f.path
	f.db = &db
}

// A startHold is that databases are held together, as those of before a start located
// clients whom they don't.
type startHold struct {
	before []*database
	hold   Hold
	new    []*database // that they are held for; none: others were taken away, or the order is another one
}

// compare compares the databases that locate clients with those before, all together,
// and holds or releases them.
func (l *Locator) compare(before []*database) {
	now := l.locating(nil, nil)
	limits, against := l.options.Hold, LastRun
	if slices.ContainsFunc(before, isEmbedded) && (len(before) == 1 || !slices.ContainsFunc(now, isEmbedded)) {
		// Between databases of different makers small places differ by far: only
		// one that is gone counts.
		limits.Jurisdiction, against = min(limits.Jurisdiction, 1)*100, Embedded
	}
	losses := l.losses(limits, before, now)
	s := &startHold{before: before, new: l.newFor(losses, before, now)}
	if losses == nil && s.new == nil {
		l.start = nil
		return
	}
	of, checksum := s.new, checksumOf(s.new)
	if s.new == nil {
		of, checksum = now, checksumOfChange(now, without(before, now))
	}
	s.hold = Hold{
		Path: of[0].path, SHA256: hex.EncodeToString(checksum[:]), Against: against, Build: of[0].build(), Since: l.options.Now(), Losses: losses,
	}
	if l.accepted(s) {
		l.start = nil
		return
	}
	l.start = s
	l.logHold(s.hold.Path, losses)
}

// newFor returns the new databases that are held for what is lost, or for nothing
// but that they were rejected; none if what is lost is not for them to have.
func (l *Locator) newFor(losses []Loss, before, now []*database) (held []*database) {
	var lost, have Role
	for _, loss := range losses {
		if loss.Jurisdiction == policy.Anonymous {
			lost |= RoleAnonymous
		} else {
			lost |= RolePlace
		}
	}
	for _, db := range without(now, before) {
		if db.role&lost != 0 || losses == nil && l.decided(db.checksum).Rejected != "" {
			held = append(held, db)
			have |= db.role
		}
	}
	if lost&^have != 0 {
		return nil
	}
	return held
}

// accepted reports whether what is held at a start may be used, by itself or together.
func (l *Locator) accepted(s *startHold) bool {
	open := func(db *database) bool { return !l.decided(db.checksum).Accepted }
	return l.options.Decided(s.hold.SHA256).Accepted || s.new != nil && !slices.ContainsFunc(s.new, open)
}

// without returns the databases that aren't among others.
func without(databases, others []*database) (rest []*database) {
	for _, db := range databases {
		if !slices.ContainsFunc(others, func(other *database) bool { return other.checksum == db.checksum }) {
			rest = append(rest, db)
		}
	}
	return rest
}

// checksumOf returns what databases are decided on by together: of one its own.
func checksumOf(databases []*database) [sha256.Size]byte {
	if len(databases) == 1 {
		return databases[0].checksum
	}
	return checksumOfAll("", databases)
}

// checksumOfChange returns what is decided on where databases are to do without others,
// or in another order. That one may be used whatever it lacks doesn't decide that.
func checksumOfChange(now, removed []*database) [sha256.Size]byte {
	return checksumOfAll("without", removed, now)
}

func checksumOfAll(what string, lists ...[]*database) [sha256.Size]byte {
	h := sha256.New()
	h.Write([]byte(what))
	for _, db := range slices.Concat(lists...) {
		h.Write(db.checksum[:])
	}
	return [sha256.Size]byte(h.Sum(nil))
}
