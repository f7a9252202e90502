package changes_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/iso3166"
)

// large names every country, with a schedule.
func large() string {
	var b bytes.Buffer
	b.WriteString("version: 1\njurisdictions:\n")
	for country := range iso3166.Countries() {
		fmt.Fprintf(&b, "  %s:\n    schedule:\n      - {from: 2027-11-01T00:00:00Z, phase: announced}\n      - {from: 2027-12-01T00:00:00Z, phase: withdrawn}\n", country.Code)
	}
	return b.String()
}

// revisions are a ledger of so many, each with a policy of its own.
func revisions(b *testing.B, source string, n int) []changes.Record {
	var records []changes.Record
	for i := range n {
		body := fmt.Sprintf(`{"authors":["ada"],"plan":"%064d","effects":["other"],"summary":"nothing but the text","request":{"key":"%d","fingerprint":"%064d"}}`, i, i, i)
		if i > 0 {
			body = fmt.Sprintf(`{"base":%d,`, i) + body[1:]
		}
		records = append(records, changes.Record{Number: uint64(i + 1), Time: begin, Draft: changes.Draft{
			Kind: changes.RevisionMade, Author: "ada", Reason: "so", Body: fmt.Appendf(nil, "%s\n%s# %d\n", body, source, i),
		}})
	}
	return records
}

func fold(b *testing.B, records []changes.Record) changes.State {
	s := changes.New(parsers)
	for _, r := range records {
		var err error
		if s, err = s.With(r); err != nil {
			b.Fatal(err)
		}
	}
	return s
}

// BenchmarkFold is what a gateway does that starts with nothing but the ledger.
func BenchmarkFold(b *testing.B) {
	for name, source := range map[string]string{"small": rules, "countries=250": large()} {
		b.Run(name+"/revisions=10000", func(b *testing.B) {
			records := revisions(b, source, 10_000)
			b.ReportAllocs()
			for b.Loop() {
				fold(b, records)
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/op")
		})
	}
}

// BenchmarkRestore is what one does that has kept its State.
func BenchmarkRestore(b *testing.B) {
	for name, source := range map[string]string{"small": rules, "countries=250": large()} {
		b.Run(name, func(b *testing.B) {
			text, err := json.Marshal(fold(b, revisions(b, source, changes.MaxKeys)))
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				s, err := changes.Restore(text, changes.Supplement{}, parsers)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := json.Marshal(s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPropose is what an apply costs that writes a revision: it is planned,
// written, and taken.
func BenchmarkPropose(b *testing.B) {
	w := begun(b, large())
	p := w.agreed(proposing(large() + "notices: {default: {status: 403}}\n"))
	b.ReportAllocs()
	for b.Loop() {
		e, err := w.s.Propose(ada, p, nil, begin)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.s.With(changes.Record{Number: 2, Time: begin, Draft: e}); err != nil {
			b.Fatal(err)
		}
	}
}
