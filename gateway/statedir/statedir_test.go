package statedir

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/internal/files"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestPathIsTheNamedFolderElseByTheEnvironment(t *testing.T) {
	for _, test := range []struct{ named, state, xdg, home, want string }{
		{named: "/n", state: "/s", xdg: "/x", home: "/h", want: "/n"},
		{state: "/s", xdg: "/x", home: "/h", want: "/s"},
		{xdg: "/x", home: "/h", want: "/x/exitgate"},
		{home: "/h", want: "/h/.local/state/exitgate"},
		{},
	} {
		t.Setenv("STATE_DIRECTORY", test.state)
		t.Setenv("XDG_STATE_HOME", test.xdg)
		t.Setenv("HOME", test.home)
		if got, err := Path(test.named); got != test.want || (err != nil) != (test.want == "") {
			t.Errorf("%+v: %q, %v", test, got, err)
		}
	}
}

func TestLastGoodIsReadAsItWasWritten(t *testing.T) {
	d := Dir(t.TempDir())
	if _, err := d.ReadLastGood(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before there is one: %v", err)
	}
	for _, text := range []string{"version: 1\n", "version: 1\nmode: observe\n"} {
		if err := d.WriteLastGood([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := d.ReadLastGood(); string(got) != text || err != nil {
			t.Errorf("it reads %q, %v", got, err)
		}
	}
	if info, err := os.Stat(d.LastGood()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v, %v", info.Mode(), err)
	}
	if files, _ := os.ReadDir(string(d)); len(files) != 1 {
		t.Errorf("there are %v", files)
	}
}

func TestAWriteThatWasKilledLeavesTheOldContent(t *testing.T) {
	d := Dir(t.TempDir())
	if err := errors.Join(d.WriteLastGood([]byte("old")), d.WriteMoment("abc", noon, "", "")); err != nil {
		t.Fatal(err)
	}
	// What is there until the rename: a part of the new one beside the old.
	testkit.WriteFile(t, d.LastGood()+".123.unfinished", "ne")
	testkit.WriteFile(t, d.Schedule()+".123.unfinished", `{"sha256":"abc","at":"2027-`)
	if got, err := d.ReadLastGood(); string(got) != "old" || err != nil {
		t.Errorf("it reads %q, %v", got, err)
	}
	if _, at, _ := d.LastMoment(); !at.Equal(noon) {
		t.Errorf("the last moment is %s", at)
	}
	if err := d.WriteLastGood([]byte("new")); err != nil {
		t.Fatal(err)
	}
	if got, err := d.ReadLastGood(); string(got) != "new" || err != nil {
		t.Errorf("then it reads %q, %v", got, err)
	}
}

func TestTheLastMomentOnlyAdvancesForOnePolicy(t *testing.T) {
	d := Dir(t.TempDir())
	expect := func(wanted string, want time.Time) {
		t.Helper()
		if digest, at, _ := d.LastMoment(); digest != wanted || !at.Equal(want) {
			t.Errorf("it is %s of %s, want %s of %s", at, digest, want, wanted)
		}
	}
	for _, at := range []time.Time{noon, noon.Add(-time.Hour), noon.Add(time.Hour), time.Unix(0, 0)} {
		if err := d.WriteMoment("abc", at, "", ""); err != nil {
			t.Fatal(err)
		}
	}
	expect("abc", noon.Add(time.Hour))
	if err := d.WriteMoment("def", noon, "", ""); err != nil {
		t.Fatal(err)
	}
	expect("def", noon)
}

func TestAScheduleThatCantBeReadIsUnknown(t *testing.T) {
	for name, text := range map[string]string{
		"cut short": `{"sha256":"abc","at":"2026-11-21T12:0`, "empty": "", "garbage": "\x00\xff", "another type": `[1]`,
		"no date": `{"sha256":"abc","at":"soon"}`, "huge": string(make([]byte, 1<<20)),
	} {
		t.Run(name, func(t *testing.T) {
			d := Dir(t.TempDir())
			testkit.WriteFile(t, d.Schedule(), text)
			if digest, at, _ := d.LastMoment(); digest != "" || !at.IsZero() {
				t.Errorf("it is said to be %s of %q", at, digest)
			}
			if err := d.WriteMoment("abc", noon, "", ""); err != nil {
				t.Fatal(err)
			}
			if _, at, _ := d.LastMoment(); !at.Equal(noon) {
				t.Errorf("then it is %s", at)
			}
		})
	}
}

func TestStepsThatWereCutAreAnError(t *testing.T) {
	d := Dir(t.TempDir())
	if got, err := d.ReadSteps(); got != nil || err != nil {
		t.Errorf("before there are any: %q, %v", got, err)
	}
	if err := d.WriteSteps([]byte(`{"taken":{}}`)); err != nil {
		t.Fatal(err)
	}
	if got, err := d.ReadSteps(); string(got) != `{"taken":{}}` || err != nil {
		t.Errorf("it reads %q, %v", got, err)
	}
	text, err := os.ReadFile(d.Steps())
	if err != nil {
		t.Fatal(err)
	}
	testkit.WriteFile(t, d.Steps(), string(text[:len(text)-1]))
	if got, err := d.ReadSteps(); !errors.Is(err, files.ErrSeal) {
		t.Errorf("cut, it reads %q, %v", got, err)
	}
}

func TestAFolderThatCantBeWrittenToIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	testkit.WriteFile(t, file, "")
	for _, d := range []Dir{Dir(file), Dir(filepath.Join(t.TempDir(), "none"))} {
		if d.WriteLastGood([]byte("x")) == nil || d.WriteMoment("abc", noon, "", "") == nil {
			t.Errorf("%s: no error", d)
		}
	}
}

func TestLastFilePolicyIsTheOneThatWasDecidedByLast(t *testing.T) {
	const source = "version: 1\n"
	d := Dir(t.TempDir())
	if got, _ := d.LastFilePolicy(); got != nil {
		t.Errorf("before there is one: %q", got)
	}
	if err := errors.Join(d.WriteLastGood([]byte(source)), d.WriteMoment("another", noon, "", "/etc/policy.yaml")); err != nil {
		t.Fatal(err)
	}
	if got, _ := d.LastFilePolicy(); got != nil {
		t.Errorf("with a moment of another policy: %q", got)
	}
	for _, from := range []string{"/etc/policy.yaml", ""} {
		noon := noon.Add(time.Duration(-len(from)))
		if err := d.WriteMoment(policy.Digest([]byte(source)), noon, "", from); err != nil {
			t.Fatal(err)
		}
		if got, file := d.LastFilePolicy(); file != from || string(got) != source && from != "" {
			t.Errorf("from %q: %q of %q", from, got, file)
		}
	}
}

func TestAReplicaThatWasCutIsAnError(t *testing.T) {
	d := Dir(t.TempDir())
	if err := d.WriteReplica([]byte(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	if got, err := d.ReadReplica(); string(got) != `{"a":1}` || err != nil {
		t.Errorf("it reads %q, %v", got, err)
	}
	text, err := os.ReadFile(d.Replica())
	if err != nil {
		t.Fatal(err)
	}
	testkit.WriteFile(t, d.Replica(), string(text[:len(text)-1]))
	if got, err := d.ReadReplica(); !errors.Is(err, files.ErrSeal) {
		t.Errorf("cut, it reads %q, %v", got, err)
	}
}

func TestFlagsThatAreEmptyAreNotTakenForNone(t *testing.T) {
	d := Dir(t.TempDir())
	if got, err := d.ReadFlags(); got != nil || err != nil {
		t.Errorf("without a file: %q, %v", got, err)
	}
	if err := d.WriteFlags(nil); err != nil {
		t.Fatal(err)
	}
	if got, err := d.ReadFlags(); got == nil || err != nil {
		t.Errorf("of an empty file: %v, %v", got, err)
	}
}

// Issue 10, number 17: one that is cut or changed is not taken for good, even if it
// still is JSON.
func TestFlags_areSealedAndTheOldOnesRead(t *testing.T) {
	d := Dir(t.TempDir())
	old := []byte(`{"FR": {"values": {"end-to-end-encryption": true}}}`)
	if err := os.WriteFile(d.Flags(), old, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := d.ReadFlags(); string(got) != string(old) || err != nil {
		t.Errorf("the old ones are %q, %v", got, err)
	}
	if err := d.WriteFlags(old); err != nil {
		t.Fatal(err)
	}
	if got, err := d.ReadFlags(); string(got) != string(old) || err != nil {
		t.Errorf("they are %q, %v", got, err)
	}
	sealed, err := os.ReadFile(d.Flags())
	if err != nil {
		t.Fatal(err)
	}
	var flags map[string]any // as earlier versions read it
	if err := json.Unmarshal(sealed, &flags); err != nil || len(flags) != 1 {
		t.Errorf("earlier versions read %v, %v", flags, err)
	}
	for i := range sealed {
		bad := slices.Clone(sealed)
		if bad[i] ^= 1; i >= len(old) {
			bad[i] ^= 1 ^ ' ' ^ '\t'
		}
		if err := os.WriteFile(d.Flags(), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := d.ReadFlags(); err == nil || !strings.Contains(err.Error(), d.Flags()) {
			t.Errorf("of %q the error is %v", bad, err)
		}
	}
}
