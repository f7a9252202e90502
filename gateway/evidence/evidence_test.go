package evidence_test

import (
	"bytes"
	"errors"
	"iter"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/evidence"
	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/edit"
)

var (
	begin = time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)

	ada = changes.Actor{Name: "ada", Roles: []changes.Role{changes.Operator}}
	bob = changes.Actor{Name: "bob", Roles: []changes.Role{changes.Approver}}
)

// lawPolicy is a policy with a law of a stage, and with what else it says.
func lawPolicy(stage, more string) string {
	return `version: 1
approvals: {withdraw: 1}
guarantees: {end-to-end-encryption: {require: true}}
flags: {end-to-end-encryption: true}
demands:
  fr-law: {jurisdiction: FR, territories: none, title: A law, source: "https://example.org/law", stage: ` + stage + `, in-force: 2026-12-01T00:00:00Z, requires: {end-to-end-encryption: false}}
  eu-plan: {jurisdiction: EU, title: A plan, stage: proposed, requires: {end-to-end-encryption: false}}
  de-bill: {jurisdiction: DE, title: A bill elsewhere, stage: proposed, requires: {end-to-end-encryption: false}}
` + more
}

const schedule = `jurisdictions:
  FR:
    because: [fr-law]
    territories: none
    schedule: [{from: 2026-10-01T00:00:00Z, phase: announced}, {from: 2026-12-01T00:00:00Z, phase: withdrawn}]
`

// A book is a ledger that a test writes.
type book struct {
	t       testing.TB
	state   changes.State
	records []ledger.Record
	now     time.Time
}

func (b *book) write(d changes.Draft, err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	r := ledger.Record{Version: 1, Number: b.state.Last() + 1, Time: b.now,
		Content: ledger.Content{Kind: string(d.Kind), Author: d.Author, Reason: d.Reason, Body: d.Body}}
	if n := len(b.records); n > 0 {
		r.Previous = b.records[n-1].Hash
	}
	data, err := r.Encode()
	if err == nil {
		r, err = ledger.Decode(data)
	}
	if err == nil {
		b.state, err = b.state.With(changes.Record{Number: r.Number, Time: r.Time, Draft: d})
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.records = append(b.records, r)
	b.now = b.now.Add(time.Hour)
}

func (b *book) propose(p changes.Proposal, because string) {
	b.t.Helper()
	planned, err := b.state.Plan(p, nil, b.now)
	if err != nil {
		b.t.Fatal(err)
	}
	p.Expected, p.Plan, p.Because = b.state.Revision().Number, planned.Plan.Hash, because
	b.write(b.state.Propose(ada, p, nil, b.now))
}

func (b *book) approve(number uint64, because string) {
	b.t.Helper()
	change, _, waits := b.state.Change(number, nil, b.now)
	hash := change.Plan
	if !waits {
		hash = b.state.Unsigned()[0].SHA256
	}
	b.write(b.state.Approve(bob, number, hash, because, changes.Request{}, nil, b.now))
}

func (b *book) took(o changes.Occurrence) {
	b.t.Helper()
	b.write(b.state.RecordOccurrences("gateway-1", []changes.Occurrence{o}))
}

// theExit is a ledger of France's law and exit: records 1 to 10.
func theExit(t testing.TB) *book {
	read := func(source []byte) (*policy.Policy, error) { return document.Read("policy", source) }
	b := &book{t: t, state: changes.New(changes.Parsers{Proposed: read, Recorded: read}), now: begin}
	b.write(changes.FirstRevision([]byte(lawPolicy("proposed", ""))), nil)
	b.propose(changes.Proposal{Policy: []byte(lawPolicy("adopted", schedule))}, "The law is adopted. <b>&")
	b.approve(2, "Read.")
	b.now = time.Date(2026, 10, 1, 0, 0, 1, 0, time.UTC)
	oct, dec := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	b.took(changes.Occurrence{Kind: changes.StepTaken, Revision: 3, Due: oct, At: oct, Changes: []string{"open → announced: FR"}})
	b.propose(changes.Proposal{Set: &edit.PhaseChange{Jurisdiction: "IT", Phase: policy.Withdrawn}, Emergency: true}, "A search.")
	b.approve(5, "Agreed.")
	b.took(changes.Occurrence{Kind: changes.GuaranteeBreached, Revision: 5, At: oct.AddDate(0, 0, 1), Breach: changes.Breach{Jurisdiction: "IT", Flag: "end-to-end-encryption", Since: oct.AddDate(0, 0, 1)}})
	b.write(changes.Draft{Kind: "tomorrow", Author: "exitgate", Body: []byte("{\"format\":99}\xff")}, nil)
	b.now = dec.Add(3 * time.Hour) // the ledger couldn't be reached
	b.took(changes.Occurrence{Kind: changes.StepTaken, Revision: 5, Due: dec, At: dec, Changes: []string{"announced → withdrawn: FR"}})
	b.propose(changes.Proposal{Policy: []byte(lawPolicy("repealed", ""))}, "Repealed.")
	return b
}

func sequence(records []ledger.Record) iter.Seq2[ledger.Record, error] {
	return func(yield func(ledger.Record, error) bool) {
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// file is a file of records, about France.
func file(t testing.TB, from, to time.Time, records []ledger.Record) []byte {
	t.Helper()
	var b bytes.Buffer
	h := evidence.Header{Jurisdiction: "FR", Name: "France", From: from, To: to, Head: records[len(records)-1].Point(),
		Made: evidence.Made{At: to, Gateway: "gateway-1", Version: "1.0.0", Counts: &evidence.Counts{Since: to.AddDate(0, 0, -1), Gateways: 2,
			Requests: []evidence.Count{{Jurisdiction: "FR", Class: "other", Served: 1, Refused: 20}, {Jurisdiction: "FR", Class: "sign-up", Refused: 3}}}}}
	if err := evidence.Write(&b, h, sequence(records)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(t testing.TB, text []byte) evidence.File {
	t.Helper()
	f, err := evidence.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// checked is when files are looked at.
var checked = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)

// theFile is the one of the whole story.
func theFile(t testing.TB) []byte {
	b := theExit(t)
	return file(t, begin, b.now, b.records)
}

// Issue 11, number 9.
func TestAFileSaysWhatItsRecordsSay(t *testing.T) {
	text := theFile(t)
	testkit.Golden(t, "testdata/france.json", string(text))
	f := read(t, text)
	if report := f.Verify(checked); !report.OK() || report.Records != 10 || report.Newer != 1 {
		t.Errorf("it isn't valid: %+v", report)
	}
	var phases, demands, took []string
	for _, p := range f.Says.Phases {
		phases = append(phases, p.From.Format(time.DateOnly)+" "+p.Phase.String())
	}
	for _, d := range f.Says.Demands {
		demands = append(demands, d.From.Format(time.DateOnly)+" "+d.ID+" "+string(d.Stage))
	}
	for _, o := range f.Says.Took {
		took = append(took, o.Took.Format(time.DateOnly)+" "+string(o.Kind))
	}
	for _, c := range []struct{ got, want []string }{
		{phases, []string{"2026-09-01 open", "2026-10-01 announced", "2026-12-01 withdrawn", "2026-12-01 open"}},
		{demands, []string{"2026-09-01 eu-plan proposed", "2026-09-01 fr-law proposed", "2026-09-01 fr-law adopted", "2026-12-01 fr-law repealed"}},
		{took, []string{"2026-10-01 step", "2026-12-01 step"}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("it says %q, want %q", c.got, c.want)
		}
	}
	numbers := []uint64{}
	for _, r := range f.Says.Revisions {
		numbers = append(numbers, r.Number)
	}
	if !slices.Equal(numbers, []uint64{1, 3, 5, 10}) {
		t.Fatalf("revisions %d", numbers)
	}
	if a := f.Says.Revisions[1].Approvals; len(a) != 1 || a[0].By != "bob" || a[0].Because != "Read." {
		t.Errorf("the approvals are %+v", a)
	}
	if s := f.Says.Revisions[2].Signature; s == nil || s.By != "bob" || s.Because != "Agreed." {
		t.Errorf("the signature is %+v", s)
	}
}

func TestAPartOfTheTime(t *testing.T) {
	b := theExit(t)
	from := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	to := time.Date(2026, 12, 1, 1, 0, 0, 0, time.UTC)
	f := read(t, file(t, from, to, b.records[4:9])) // the step was recorded later
	if report := f.Verify(checked); !report.OK() {
		t.Errorf("it isn't valid: %+v", report)
	}
	if s := f.Says; len(s.Revisions) != 1 || s.Revisions[0].Number != 5 || len(s.Phases) != 2 || !s.Phases[0].From.Equal(from) || len(s.Took) != 1 {
		t.Errorf("it says %+v", s)
	}
}

// Issue 11, number 9: what is said of less than all records is no evidence, however it
// agrees with them.
func TestAFileHasAllThatItTakes(t *testing.T) {
	b := theExit(t)
	afterThird := time.Date(2026, 10, 1, 0, 0, 1, 0, time.UTC)
	for _, c := range []struct {
		name     string
		from, to time.Time
		records  []ledger.Record
		change   func(*evidence.File)
		valid    bool
	}{
		{"all", begin, b.now, b.records, nil, true},
		{"all, from the beginning", time.Time{}, b.now, b.records, nil, true},
		{"without the first", begin, b.now, b.records[1:], nil, false},
		{"without the first, from the beginning", time.Time{}, b.now, b.records[1:], nil, false},
		{"without all but the last", begin, b.now, b.records[9:], nil, false},
		{"with the proposal of what was in force at first", afterThird, b.now, b.records[1:], nil, true},
		{"without that proposal", afterThird, b.now, b.records[2:], nil, false},
		{"without what was in force at first", afterThird, b.now, b.records[3:], nil, false},
		{"of a time that is yet to come", begin, checked.AddDate(0, 1, 0), b.records, nil, false},
		{"made before its time had ended", begin, b.now, b.records, func(f *evidence.File) { f.Made.At = b.now.Add(-time.Hour) }, false},
	} {
		f := read(t, file(t, c.from, c.to, c.records))
		if c.change != nil {
			c.change(&f)
		}
		if report := f.Verify(checked); report.OK() != c.valid || len(report.Invalid) > 0 {
			t.Errorf("%s: %+v", c.name, report)
		}
	}
}

// A file that was made once stays valid: those of formats 1 and 2 aren't written anew.
func TestAFileOfAnEarlierFormatStaysValid(t *testing.T) {
	for _, name := range []string{"testdata/format1.json", "testdata/format2.json"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if report := read(t, text).Verify(checked); !report.OK() || report.Proposals {
			t.Errorf("%s: %+v", name, report)
		}
	}
}

// Each byte of each record, changed, is found, and the record is named.
func TestEachChangedByteOfARecordIsFound(t *testing.T) {
	good := read(t, theFile(t))
	step := 1
	if testing.Short() {
		step = 13
	}
	for i, r := range good.Records {
		for at := 0; at < len(r.Text)+len(r.Base64); at += step {
			f := good
			f.Records = slices.Clone(good.Records)
			if r.Text != "" {
				changed := []byte(r.Text)
				changed[at] ^= 1
				f.Records[i].Text = string(changed)
			} else {
				f.Records[i].Base64 = slices.Clone(r.Base64)
				f.Records[i].Base64[at] ^= 1
			}
			report := f.Verify(checked)
			if len(report.Invalid) != 1 || report.Invalid[0].Number != r.Number {
				t.Fatalf("byte %d of record %d: %v", at, r.Number, report.Invalid)
			}
		}
	}
}

// Bytes of the file, changed, are found, but for who says that they made it, and when,
// and for how long nothing else came.
func TestAChangedByteOfTheFileIsFound(t *testing.T) {
	text := theFile(t)
	good := read(t, text)
	step := 17
	if testing.Short() {
		step = 211
	}
	for at := 0; at < len(text); at += step {
		changed := slices.Clone(text)
		changed[at] ^= 1
		f, err := evidence.Read(changed)
		if err != nil || !f.Verify(checked).OK() {
			continue
		}
		f.Made, f.To = good.Made, good.To
		if !reflect.DeepEqual(f, good) {
			t.Errorf("byte %d, behind %s, may be %q", at, text[max(0, at-40):at], changed[at])
		}
	}
}

func TestWhatElseIsWrongWithAFile(t *testing.T) {
	good := read(t, theFile(t))
	for _, c := range []struct {
		name   string
		change func(*evidence.File)
		want   uint64 // the record that is named; 0: what the file says is wrong
	}{
		{"a record is missing", func(f *evidence.File) { f.Records = slices.Delete(f.Records, 3, 4) }, 3},
		{"the last is missing", func(f *evidence.File) { f.Records = f.Records[:9] }, 9},
		{"two are in another order", func(f *evidence.File) { f.Records[3], f.Records[4] = f.Records[4], f.Records[3] }, 3},
		{"one is there twice", func(f *evidence.File) { f.Records = slices.Insert(f.Records, 4, f.Records[3]) }, 4},
		{"one is made anew, with its hash", func(f *evidence.File) {
			r, _ := ledger.Decode([]byte(f.Records[3].Text))
			r.Reason = "Another."
			data, _ := r.Encode()
			r, _ = ledger.Decode(data)
			f.Records[3].Text, f.Records[3].Hash = string(data), r.Hash
		}, 4},
		{"another head", func(f *evidence.File) { f.Head.Hash[0] ^= 1 }, 10},
		{"another phase", func(f *evidence.File) { f.Says.Phases[1].Phase = policy.Open }, 0},
		{"an approval less", func(f *evidence.File) { f.Says.Revisions[1].Approvals = nil }, 0},
		{"a demand less", func(f *evidence.File) { f.Says.Demands = f.Says.Demands[1:] }, 0},
		{"a step at another time", func(f *evidence.File) { f.Says.Took[0].Took = begin }, 0},
		{"another country", func(f *evidence.File) { f.Jurisdiction = "DE" }, 0},
		{"another name", func(f *evidence.File) { f.Name = "Germany" }, 0},
		{"another beginning", func(f *evidence.File) { f.From = f.From.AddDate(0, 2, 0) }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := good
			f.Records = slices.Clone(good.Records)
			f.Says.Phases, f.Says.Revisions, f.Says.Took = slices.Clone(f.Says.Phases), slices.Clone(f.Says.Revisions), slices.Clone(f.Says.Took)
			c.change(&f)
			report := f.Verify(checked)
			switch {
			case c.want == 0 && (report.Differs == nil || len(report.Invalid) > 0),
				c.want != 0 && !slices.ContainsFunc(report.Invalid, func(r ledger.InvalidRecord) bool { return r.Number == c.want }):
				t.Errorf("got %+v", report)
			}
		})
	}
}

// Whoever makes a file may write it about what no client is in, with all else right.
func TestAFileIsAboutAPlaceAndATime(t *testing.T) {
	b := theExit(t)
	for _, c := range []struct {
		code     policy.Code
		from, to time.Time
		want     bool
	}{
		{"FR", begin, b.now, true},
		{"FR-75C", begin, b.now, true},
		{"EU", begin, b.now, false},
		{policy.Default, begin, b.now, false},
		{policy.Anonymous, begin, b.now, false},
		{policy.Unlocated, begin, b.now, false},
		{policy.Private, begin, b.now, false},
		{"FR", b.now, begin, false},
		{"FR", b.now, b.now, false},
	} {
		var text bytes.Buffer
		h := evidence.Header{Jurisdiction: c.code, Name: policy.Name(c.code), From: c.from, To: c.to, Head: b.records[len(b.records)-1].Point(), Made: evidence.Made{At: b.now}}
		if err := evidence.Write(&text, h, sequence(b.records)); err != nil {
			t.Fatal(err)
		}
		if report := read(t, text.Bytes()).Verify(checked); report.OK() != c.want {
			t.Errorf("%s from %s to %s is valid: %v (%v)", c.code, c.from, c.to, report.OK(), report.Differs)
		}
	}
}

func TestWhatCannotBeRead(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "isn't a file of exitgate evidence",
		"{}":                     "isn't a file of exitgate evidence",
		`{"format": 4}`:          "check it with a newer one",
		"version: 1\nroutes: {}": "isn't a file of exitgate evidence",
		string(bytes.Replace(theFile(t), []byte(`"says"`), []byte(`"more":1,"says"`), 1)): "unknown",
	} {
		if _, err := evidence.Read([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30s: %v", text, err)
		}
	}
}

// Nobody falls over a file that somebody else wrote.
func FuzzRead(f *testing.F) {
	f.Add(theFile(f))
	f.Fuzz(func(t *testing.T, text []byte) {
		if read, err := evidence.Read(text); err == nil {
			read.Verify(checked)
			if err := read.WritePage(new(bytes.Buffer), ledger.Hash{}); err != nil {
				t.Error(err)
			}
		}
	})
}

// What fails on the way leaves nothing that could be taken for a file.
func TestAFileThatIsCutOffIsNone(t *testing.T) {
	b := theExit(t)
	var out bytes.Buffer
	err := evidence.Write(&out, evidence.Header{Jurisdiction: "FR"}, func(yield func(ledger.Record, error) bool) {
		_ = yield(b.records[0], nil) && yield(ledger.Record{}, errors.New("gone"))
	})
	if _, unread := evidence.Read(out.Bytes()); err == nil || unread == nil {
		t.Errorf("%v, %v", err, unread)
	}
}

func TestThePage(t *testing.T) {
	var page bytes.Buffer
	f := read(t, theFile(t))
	if err := f.WritePage(&page, ledger.Hash{1}); err != nil {
		t.Fatal(err)
	}
	testkit.Golden(t, "testdata/france.html", page.String())
	for _, want := range []string{f.Head.Hash.String(), "The law is adopted. &lt;b&gt;&amp;", "Approved by bob", "Signed by bob", "announced → withdrawn: FR", "A law: adopted"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("it doesn't say %s", want)
		}
	}
}
