package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/internal/testkit"
)

// archived fills an archive from a ledger of some records.
func archived(t *testing.T, count int) (name string, l *ledger.Ledger, records []ledger.Record) {
	t.Helper()
	l = open(t, ledger.Options{Folder: t.TempDir()})
	var bodies []string
	for i := range count {
		bodies = append(bodies, fmt.Sprint("body-", i+1, ";"))
	}
	records = add(t, l, ledger.Point{}, bodies...)
	name = filepath.Join(t.TempDir(), "records.log")
	a := openArchive(t, name, quiet())
	if err := l.Fill(within(t), a); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	return name, l, records
}

func openArchive(t *testing.T, name string, log *slog.Logger) *ledger.Archive {
	t.Helper()
	a := must[*ledger.Archive](t)(ledger.OpenArchive(name, log))
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	return must[[]byte](t)(os.ReadFile(name))
}

func replace(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// expectRecords fails the test unless an archive has these records, and no others.
func expectRecords(t *testing.T, a *ledger.Archive, want []ledger.Record) {
	t.Helper()
	var got []ledger.Record
	for r, err := range a.Records() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	last := ledger.Point{}
	if len(want) > 0 {
		last = want[len(want)-1].Point()
	}
	if a.Last() != last {
		t.Errorf("the last is %v, want %v", a.Last(), last)
	}
	for _, r := range want {
		if got, err := a.Record(r.Number); err != nil || got.Hash != r.Hash {
			t.Errorf("record %d is %v, %v", r.Number, got, err)
		}
	}
	for _, number := range []uint64{0, last.Number + 1} {
		if _, err := a.Record(number); !errors.Is(err, ledger.ErrNoRecord) {
			t.Errorf("record %d: %v", number, err)
		}
	}
}

func TestArchive_hasTheRecordsAsTheyAreInTheStream(t *testing.T) {
	t.Parallel()
	name, l, records := archived(t, 100)
	a := openArchive(t, name, quiet())
	expectRecords(t, a, records)
	report, err := a.Verify(nil)
	if err != nil || report.Records != 100 || report.Last != records[99].Point() || report.Invalid != nil {
		t.Errorf("it is verified as %+v, %v", report, err)
	}
	records = append(records, add(t, l, records[99].Point(), "one", "two")...)
	if err := a.Append(records[101]); !errors.Is(err, ledger.ErrGap) {
		t.Errorf("a record that doesn't follow: %v", err)
	}
	if err := errors.Join(a.Append(records[100]), a.Append(records[100]), a.Sync()); err != nil {
		t.Error(err)
	}
	expectRecords(t, a, records[:101])
	if err := l.Fill(within(t), a); err != nil {
		t.Error(err)
	}
	expectRecords(t, a, records)
	if differing, err := l.Compare(within(t), a); err != nil || differing != nil {
		t.Errorf("differing are %v, %v", differing, err)
	}

	// What is written is a format that other versions read.
	first := must[[]byte](t)(records[0].Encode())
	if want := fmt.Sprintf("exitgate records 1\nrecord 1 %d %s\n%s\nrecord 2 ", len(first), records[0].Hash, first); !strings.HasPrefix(string(read(t, name)), want) {
		t.Errorf("the file begins with\n%.300s, want\n%s", read(t, name), want)
	}
	replace(t, name, []byte("exitgate records 2\nand more"))
	if _, err := ledger.OpenArchive(name, quiet()); err == nil || string(read(t, name)) != "exitgate records 2\nand more" {
		t.Errorf("of a later format the error is %v", err)
	}
}

func TestArchive_tornEndIsCut(t *testing.T) {
	t.Parallel()
	name, _, records := archived(t, 3)
	content := read(t, name)
	third := strings.Index(string(content), "record 3 ")
	for cut := third; cut < len(content); cut++ {
		replace(t, name, content[:cut])
		a, incomplete, err := ledger.ReadArchive(name) // as of a copy that was made meanwhile
		if want := int64(third); err != nil || incomplete != want && cut > third || incomplete != 0 && cut == third {
			t.Fatalf("cut at %d, it ends at %d, %v", cut, incomplete, err)
		}
		expectRecords(t, a, records[:2])
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		log := new(testkit.Buffer)
		expectRecords(t, openArchive(t, name, slog.New(slog.NewTextHandler(log, nil))), records[:2])
		if said := strings.Contains(log.String(), "cut off"); said != (cut > third) {
			t.Fatalf("cut at %d, it logs %q", cut, log)
		}
	}
	for end, torn := range map[string][]byte{
		"zero bytes":                  slices.Concat(content[:third], make([]byte, 5000)),
		"the last record with zeroes": slices.Concat(content[:third+90], make([]byte, len(content)-third-90)),
	} {
		replace(t, name, torn)
		a := openArchive(t, name, quiet())
		expectRecords(t, a, records[:2])
		if err := errors.Join(a.Append(records[2]), a.Close()); err != nil {
			t.Error(err)
		}
		if got := read(t, name); string(got) != string(content) {
			t.Errorf("%s: after another record the file is %q", end, got)
		}
	}
	for _, begun := range []string{"", "exitgate rec", strings.Repeat("\x00", 300)} {
		replace(t, name, []byte(begun))
		expectRecords(t, openArchive(t, name, quiet()), nil)
	}
}

func TestArchive_damageIsFoundAndKept(t *testing.T) {
	t.Parallel()
	name, l, records := archived(t, 5)
	content := read(t, name)
	for at := range content {
		damaged := slices.Clone(content)
		damaged[at] ^= 4
		replace(t, name, damaged)
		a, err := ledger.OpenArchive(name, quiet())
		if err != nil {
			if at == len("exitgate records 1") || at == len("exitgate records ") {
				continue // as if of a later version
			}
			t.Fatalf("damaged at byte %d: %v", at, err)
		}
		if err := a.Check(); err != nil {
			t.Fatal(err)
		}
		if last := a.Last().Number; last == 5 {
			t.Errorf("the damage at byte %d isn't found", at)
		} else if kept, err := os.ReadFile(name + ".damaged"); last < 4 && (err != nil || string(kept) != string(damaged)) {
			t.Errorf("damaged at byte %d: what was there isn't kept: %v", at, err)
		}
		_ = os.Remove(name + ".damaged")
		if at%40 == 0 {
			if err := l.Fill(within(t), a); err != nil {
				t.Error(err)
			}
			expectRecords(t, a, records)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	name, _, _ := archived(t, 5)
	a := openArchive(t, name, quiet())
	s := alone(t, t.TempDir(), -1)
	other := open(t, elsewhere(s.ClientURL()))
	add(t, other, ledger.Point{}, "a", "b", "c")
	if differing, err := other.Compare(within(t), a); err != nil || !slices.Equal(differing, []uint64{1, 2, 3}) {
		t.Errorf("differing are %v, %v", differing, err)
	}
	add(t, other, must[ledger.Record](t)(other.Record(within(t), 3)).Point(), "d", "e", "f")
	if err := other.Fill(within(t), a); !errors.Is(err, ledger.ErrHistory) {
		t.Errorf("of another ledger it is filled: %v", err)
	}
}

// Issue 10, number 18: the stream is lost, and made again from a gateway's copy.
func TestImport(t *testing.T) {
	t.Parallel()
	s := alone(t, t.TempDir(), -1)
	l := open(t, elsewhere(s.ClientURL()))
	records := add(t, l, ledger.Point{}, "a", "b")
	for _, text := range []string{"not a record", "nor this"} {
		must[*jetstream.PubAck](t)(raw(t, s.ClientURL()).Publish(within(t), "exitgate.ledger", []byte(text)))
	}
	records = append(records, add(t, l, records[1].Point(), "c", "d")...)
	name := filepath.Join(t.TempDir(), "records.log")
	if err := l.Fill(within(t), openArchive(t, name, quiet())); err != nil {
		t.Fatal(err)
	}
	a, _, err := ledger.ReadArchive(name)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	none := func(uint64) {}

	// Interrupted, and completed.
	folder := t.TempDir()
	ctx, cancel := context.WithCancel(within(t))
	if written, err := ledger.Import(ctx, ledger.Options{Folder: folder, Log: quiet()}, a, func(number uint64) {
		if number == 3 {
			cancel()
		}
	}); err == nil || written != 3 {
		t.Fatalf("interrupted, %d are written, %v", written, err)
	}
	written, err := ledger.Import(within(t), ledger.Options{Folder: folder, Log: quiet()}, a, none)
	if err != nil || written != 3 {
		t.Fatalf("written are %d, %v", written, err)
	}
	again := open(t, ledger.Options{Folder: folder, Known: records[3].Point()})
	if diff := cmp.Diff([]string{"1 a", "2 b", "5 c", "6 d"}, history(t, again)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]uint64{3, 4}, invalid(verify(t, again))); diff != "" {
		t.Error(diff)
	}
	add(t, again, records[3].Point(), "e")
	closed(t, again)
	if written, err := ledger.Import(within(t), ledger.Options{Folder: folder, Log: quiet()}, a, none); !errors.Is(err, ledger.ErrStreamInUse) || written != 0 {
		t.Errorf("into a stream that has more, %d are written: %v", written, err)
	}
	other := alone(t, t.TempDir(), -1)
	add(t, open(t, elsewhere(other.ClientURL())), ledger.Point{}, "another")
	o := elsewhere(other.ClientURL())
	o.Log = quiet()
	if written, err := ledger.Import(within(t), o, a, none); !errors.Is(err, ledger.ErrStreamInUse) || written != 0 {
		t.Errorf("into another stream, %d are written: %v", written, err)
	}
}
