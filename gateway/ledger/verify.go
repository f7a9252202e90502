package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
)

// A Report is what Verify found.
type Report struct {
	Records int             // valid ones
	Newer   int             // those of them of a later version: only their place in the chain was checked
	Last    Point           // the last valid one
	Invalid []InvalidRecord // in order: missing, changed or forged
}

// Verify reads the ledger from its first record and reports what is wrong in it:
// every number whose record is missing, was changed, or doesn't follow from
// the one before. No record after the last one would show that it was changed;
// what this machine has seen of it does. An error is of the reading, not of
// the ledger.
//
// What the ledger doesn't interpret is for check, which is called with each valid
// record of a known version, in order, until one before it turns out to be missing
// or changed. Its error is why the record is invalid after all. It may be nil.
func (l *Ledger) Verify(ctx context.Context, check func(Record) error) (Report, error) {
	ctx, release := l.untilClosed(ctx)
	defer release()
	s, err := l.readStream(ctx)
	if err != nil {
		return Report{}, err
	}
	v := verification{known: l.lastKnown(), check: check}
	damaged := l.damagedFile()
	err = scan(ctx, s, 1, s.state.LastSeq, func(m message) (bool, error) {
		v.add(m)
		return true, nil
	})
	v.addMissing(max(s.state.LastSeq, v.known.Number) + 1)
	v.endSuspect()
	if damaged != nil && !slices.ContainsFunc(v.Invalid, func(r InvalidRecord) bool { return r.Number == damaged.after+1 }) {
		v.addInvalid(damaged.after+1, damaged)
		slices.SortFunc(v.Invalid, func(a, b InvalidRecord) int { return cmp.Compare(a.Number, b.Number) })
	}
	return v.Report, err
}

// damagedFile returns what is damaged on this machine's disk: a server that runs
// may still have it intact in memory.
func (l *Ledger) damagedFile() (d *damagedBlock) {
	if l.server != nil {
		_, err := checkBlocks(l.options.Folder, l.name, Point{})
		errors.As(err, &d)
	}
	return d
}

type verification struct {
	Report
	known   Point
	seen    uint64      // the last number that was checked
	damaged bool        // the record of that number is missing or was changed
	suspect *chainError // a record that doesn't follow from a valid one
	check   func(Record) error
}

func (v *verification) add(m message) {
	v.addMissing(m.number)
	v.seen = m.number
	r, err := decodeNext(v.Last, m)
	u := (*chainError)(nil)
	if errors.As(err, &u) {
		r = u.record
		switch {
		case v.damaged: // this follows from what was there
			err = nil
		case v.suspect != nil && r.Previous == v.suspect.record.Hash:
			v.addInvalid(v.Last.Number, fmt.Errorf("it was changed: records %d and %d follow from another", v.suspect.record.Number, r.Number))
			v.suspect, err = nil, nil // valid; the one before it was changed
		case r.Point() == v.known:
			v.addInvalid(v.Last.Number, fmt.Errorf("it was changed: this machine has seen that record %d follows from another", r.Number))
			err = nil
		default:
			v.endSuspect()
			v.suspect = u
			return
		}
		v.check = nil // it can't know what was there
	}
	v.endSuspect()
	if err == nil && m.number == v.known.Number && r.Hash != v.known.Hash {
		v.addInvalid(m.number, fmt.Errorf("it was changed: this machine has seen %.12s, not %.12s", v.known.Hash, r.Hash))
	} else if err != nil {
		v.addInvalid(m.number, err)
	}
	// Others may follow from what was there.
	v.damaged = err != nil
	if err != nil {
		return
	}
	v.Last = r.Point()
	if r.Version > version {
		v.Newer++
	} else if v.check != nil {
		if err := v.check(r); err != nil {
			v.addInvalid(m.number, err) // but others follow from it
			return
		}
	}
	v.Records++
}

func (v *verification) addInvalid(number uint64, err error) {
	v.Invalid = append(v.Invalid, InvalidRecord{number, err})
}

// addMissing adds the numbers before one that nothing was found under.
func (v *verification) addMissing(before uint64) {
	if v.seen+1 >= before {
		return
	}
	v.endSuspect()
	for v.seen+1 < before {
		v.seen++
		v.addInvalid(v.seen, errors.New("it is missing"))
		v.damaged = true
	}
}

// endSuspect adds a suspect as forged: nothing follows from it.
func (v *verification) endSuspect() {
	if v.suspect != nil {
		v.addInvalid(v.suspect.record.Number, v.suspect)
		v.suspect = nil
	}
}
