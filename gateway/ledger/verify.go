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
	Records int             // that are good
	Last    Point           // the last of them
	Invalid []InvalidRecord // what is not, in order: missing, changed or forged
}

// Verify reads the ledger from its first record and says what is wrong in it:
// every number whose record is missing, was changed, or doesn't follow from
// the one before. The last record has none after it that would show a change;
// what this machine has seen of it does. An error is of the reading, not of
// the ledger.
//
// What the ledger can't know is for check, which is given each record that is
// good, in order, until one before it turns out to be missing or changed. Its
// error says what else is wrong. It may be nil.
func (l *Ledger) Verify(ctx context.Context, check func(Record) error) (Report, error) {
	ctx, release := l.until(ctx)
	defer release()
	s, err := l.readable(ctx)
	if err != nil {
		return Report{}, err
	}
	v := verification{known: l.lastKnown(), check: check}
	damaged := l.damagedFile()
	err = scan(ctx, s, 1, s.state.LastSeq, func(m message) (bool, error) {
		v.visit(m)
		return true, nil
	})
	v.missing(max(s.state.LastSeq, v.known.Number) + 1)
	v.settle()
	if damaged != nil && !slices.ContainsFunc(v.Invalid, func(r InvalidRecord) bool { return r.Number == damaged.after+1 }) {
		v.wrong(damaged.after+1, damaged)
		slices.SortFunc(v.Invalid, func(a, b InvalidRecord) int { return cmp.Compare(a.Number, b.Number) })
	}
	return v.Report, err
}

// damagedFile is what is wrong on this machine's disk: a server that runs may
// still have it right in memory.
func (l *Ledger) damagedFile() (d *damage) {
	if l.server != nil {
		_, err := inspect(l.options.Folder, l.name, Point{})
		errors.As(err, &d)
	}
	return d
}

type verification struct {
	Report
	known   Point
	seen    uint64     // the last number that was looked at
	damaged bool       // what was there isn't any more
	suspect *unchained // a record that doesn't follow from a good one
	check   func(Record) error
}

func (v *verification) visit(m message) {
	v.missing(m.number)
	v.seen = m.number
	r, err := judge(v.Last, m)
	u := (*unchained)(nil)
	if errors.As(err, &u) {
		r = u.record
		switch {
		case v.damaged: // and what followed from it goes on here
			err = nil
		case v.suspect != nil && r.Previous == v.suspect.record.Hash:
			v.wrong(v.Last.Number, fmt.Errorf("it was changed: records %d and %d follow from another", v.suspect.record.Number, r.Number))
			v.suspect, err = nil, nil // it is good, in place of the one before it
		case r.Point() == v.known:
			v.wrong(v.Last.Number, fmt.Errorf("it was changed: this machine has seen that record %d follows from another", r.Number))
			err = nil
		default:
			v.settle()
			v.suspect = u
			return
		}
		v.check = nil // it would find fault with what follows from what is lost
	}
	v.settle()
	if err == nil && m.number == v.known.Number && r.Hash != v.known.Hash {
		v.wrong(m.number, fmt.Errorf("it was changed: this machine has seen %.12s, not %.12s", v.known.Hash, r.Hash))
	} else if err != nil {
		v.wrong(m.number, err)
	}
	// Others may follow from what isn't any more as it was written.
	v.damaged = err != nil
	if err != nil {
		return
	}
	v.Last = r.Point()
	if v.check != nil {
		if err := v.check(r); err != nil {
			v.wrong(m.number, err) // but others follow from it
			return
		}
	}
	v.Records++
}

func (v *verification) wrong(number uint64, err error) {
	v.Invalid = append(v.Invalid, InvalidRecord{number, err})
}

// missing notes the numbers before one that nothing was found under.
func (v *verification) missing(before uint64) {
	if v.seen+1 >= before {
		return
	}
	v.settle()
	for v.seen+1 < before {
		v.seen++
		v.wrong(v.seen, errors.New("it is missing"))
		v.damaged = true
	}
}

// settle finds a suspect forged: nothing follows from it.
func (v *verification) settle() {
	if v.suspect != nil {
		v.wrong(v.suspect.record.Number, v.suspect)
		v.suspect = nil
	}
}
