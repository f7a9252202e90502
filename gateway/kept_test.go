package gateway

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var moment = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func put(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestThePolicyThatWasKeptIsReadAgain(t *testing.T) {
	k := keptPolicy(t.TempDir())
	if _, err := k.read(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before there is one: %v", err)
	}
	for _, text := range []string{"version: 1\n", "version: 1\nmode: observe\n"} {
		if err := k.write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := k.read(); string(got) != text || err != nil {
			t.Errorf("it reads %q, %v", got, err)
		}
	}
	if info, err := os.Stat(k.document()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v, %v", info.Mode(), err)
	}
	if files, _ := os.ReadDir(string(k)); len(files) != 1 {
		t.Errorf("there are %v", files)
	}
}

func TestAKillInTheMiddleOfAWriteLeavesTheOldOne(t *testing.T) {
	k := keptPolicy(t.TempDir())
	if err := k.write([]byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := k.advance("abc", moment, ""); err != nil {
		t.Fatal(err)
	}
	// What is there until the rename: a part of the new one beside the old.
	put(t, k.document()+".123.unfinished", "ne")
	put(t, k.progress()+".123.unfinished", `{"sha256":"abc","at":"2027-`)
	if got, err := k.read(); string(got) != "old" || err != nil {
		t.Errorf("it reads %q, %v", got, err)
	}
	if got := k.latest("abc"); !got.Equal(moment) {
		t.Errorf("the schedule is said to be at %s", got)
	}
	if err := k.write([]byte("new")); err != nil {
		t.Fatal(err)
	}
	if got, err := k.read(); string(got) != "new" || err != nil {
		t.Errorf("then it reads %q, %v", got, err)
	}
}

func TestAScheduleOnlyGoesOnAndIsThatOfOnePolicy(t *testing.T) {
	k := keptPolicy(t.TempDir())
	for _, at := range []time.Time{moment, moment.Add(-time.Hour), moment.Add(time.Hour), time.Unix(0, 0)} {
		if err := k.advance("abc", at, ""); err != nil {
			t.Fatal(err)
		}
	}
	if got := k.latest("abc"); !got.Equal(moment.Add(time.Hour)) {
		t.Errorf("it is at %s", got)
	}
	if got := k.latest("def"); !got.IsZero() {
		t.Errorf("another policy's is at %s", got)
	}
	if err := k.advance("def", moment, ""); err != nil || !k.latest("def").Equal(moment) {
		t.Errorf("then it is at %s, %v", k.latest("def"), err)
	}
}

func TestAScheduleThatCantBeReadIsUnknown(t *testing.T) {
	for name, text := range map[string]string{
		"cut short": `{"sha256":"abc","at":"2026-11-21T12:0`, "empty": "", "garbage": "\x00\xff", "another type": `[1]`,
		"no date": `{"sha256":"abc","at":"soon"}`, "huge": string(make([]byte, 1<<20)),
	} {
		t.Run(name, func(t *testing.T) {
			k := keptPolicy(t.TempDir())
			put(t, k.progress(), text)
			if got := k.latest("abc"); !got.IsZero() {
				t.Errorf("it is said to be at %s", got)
			}
			if err := k.advance("abc", moment, ""); err != nil || !k.latest("abc").Equal(moment) {
				t.Errorf("then it is at %s, %v", k.latest("abc"), err)
			}
		})
	}
}

func TestAFolderThatCantBeWrittenToIsSaidToBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	put(t, file, "")
	for _, k := range []keptPolicy{keptPolicy(file), keptPolicy(filepath.Join(t.TempDir(), "none"))} {
		if err := k.write([]byte("x")); err == nil {
			t.Errorf("%s: nothing is said", k)
		}
		if err := k.advance("abc", moment, ""); err == nil {
			t.Errorf("%s: nothing is said", k)
		}
	}
}

func TestWithoutAFolderNothingIsKept(t *testing.T) {
	k := keptPolicy("")
	if err := errors.Join(k.write([]byte("x")), k.advance("abc", moment, "")); err != nil {
		t.Error(err)
	}
	if _, err := k.read(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it reads, %v", err)
	}
}
