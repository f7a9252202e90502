package evidence

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/policy"
)

// A Report is what Verify found.
type Report struct {
	Records int                    // those that are as they were written, and in their place
	Invalid []ledger.InvalidRecord // in order
	// Differs is why what the file says of its records isn't what they say; nil if it
	// is, or if some of them are invalid.
	Differs error
	// Newer are the records that only a newer exitgate knows: their place was checked,
	// and no more.
	Newer int
	// Proposals reports whether it was checked that the proposals are there of what came
	// into force in its time: a file may say that it is of a format in which they may be
	// missing.
	Proposals bool
}

// OK reports whether nothing is wrong.
func (r Report) OK() bool { return len(r.Invalid) == 0 && r.Differs == nil }

// Verify returns what is wrong with a file: each record that was changed, is missing
// or isn't in its place, whether they are all that it takes, whether the file says of
// them what they say, and nothing of what is yet to come at a moment. It proves what
// comes before the hash in Head: whoever makes a whole file anew makes another hash.
func (f File) Verify(now time.Time) Report {
	report := Report{Proposals: f.Format >= formatWithProposals}
	wrong := func(number uint64, format string, args ...any) {
		if n := len(report.Invalid); n == 0 || report.Invalid[n-1].Number != number {
			report.Invalid = append(report.Invalid, ledger.InvalidRecord{Number: number, Err: fmt.Errorf(format, args...)})
		}
	}
	var before Record
	records := make([]ledger.Record, len(f.Records))
	for i, entry := range f.Records {
		data := entry.data()
		is := ledger.Hash(sha256.Sum256(data))
		r, err := ledger.Decode(data)
		switch {
		case is != entry.Hash:
			wrong(entry.Number, "it was changed: its hash is %.12s, and it is given as %.12s", is, entry.Hash)
		case err != nil:
			wrong(entry.Number, "%w", err)
		case entry.Text != "" && entry.Base64 != nil:
			wrong(entry.Number, "it is there twice")
		case r.Number != entry.Number:
			wrong(entry.Number, "it is record %d", r.Number)
		case i > 0 && r.Previous != before.Hash && r.Number > before.Number:
			wrong(before.Number, "it was changed, or what follows is missing or was changed: record %d follows from another, %.12s", r.Number, r.Previous)
		case i > 0 && r.Number <= before.Number:
			wrong(entry.Number, "it stands behind record %d", before.Number)
		}
		before, records[i] = entry, r
	}
	if last := before; f.Head != (ledger.Point{Number: last.Number, Hash: last.Hash}) {
		wrong(last.Number, "the file says that its last record is %v", f.Head)
	}
	report.Records = len(f.Records) - len(report.Invalid)
	if len(report.Invalid) > 0 {
		return report
	}
	if report.Differs = f.checkHeader(); report.Differs != nil {
		return report
	}
	said := newReading(f.Header)
	for _, r := range records {
		said.add(r)
	}
	report.Newer = said.newer
	says, err := marshal(said.end())
	given, failed := marshal(f.Says)
	if err := errors.Join(err, failed); err != nil {
		report.Differs = err
	} else if !bytes.Equal(says, given) {
		report.Differs = errors.New("what it says beside the records isn't what the records say")
	} else {
		report.Differs = f.checkTime(said, records[0], now)
	}
	return report
}

// checkHeader returns why the file is about nothing that evidence can be about.
func (f File) checkHeader() error {
	switch code := f.Jurisdiction; {
	case !policy.IsPlace(code) || code == policy.Unlocated || code == policy.Private:
		return fmt.Errorf("it is about %q, which is neither a country nor a part of one", code)
	case f.Name != policy.Name(code):
		return fmt.Errorf("it calls %s %q", code, f.Name)
	case !f.From.Before(f.To):
		return errors.New("the time that it is about ends before it begins")
	}
	return nil
}

// clockTolerance is by how much a file may be ahead of the clock where it is checked.
const clockTolerance = time.Minute

// checkTime returns why the records aren't all that it takes for the time that the file is
// about, or why nothing can prove it yet.
func (f File) checkTime(said *reading, first ledger.Record, now time.Time) error {
	isFirst := first.Previous == ledger.Hash{}
	switch {
	case !isFirst && (said.last == nil || said.begins.After(f.From)):
		return errors.New("its records begin later than the time that it is about: what was in force before them is missing")
	case !isFirst && f.Format >= formatWithProposals && said.oldest != 0 && said.oldest < first.Number:
		return fmt.Errorf("record %d is missing, by which it was proposed what came into force", said.oldest)
	case f.To.After(f.Made.At):
		return errors.New("it was made before the time ended that it is about")
	case f.To.After(now.Add(clockTolerance)):
		return errors.New("the time that it is about hasn't ended yet, by the clock here")
	}
	return nil
}
