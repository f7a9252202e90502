package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/gateway/ledger"
)

// ten is a ledger of ten records, in a folder of its own.
func ten(t *testing.T) (folder string, l *ledger.Ledger, records []ledger.Record) {
	t.Helper()
	folder = t.TempDir()
	at := time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
	l = open(t, ledger.Options{Folder: folder, Now: func() time.Time { return at }})
	var bodies []string
	for i := range 10 {
		bodies = append(bodies, fmt.Sprint("body-", i+1, ";"))
	}
	return folder, l, add(t, l, ledger.Point{}, bodies...)
}

func verify(t testing.TB, l *ledger.Ledger) ledger.Report {
	t.Helper()
	return must[ledger.Report](t)(l.Verify(within(t), nil))
}

// invalid returns the numbers that Verify found invalid.
func invalid(report ledger.Report) (numbers []uint64) {
	for _, r := range report.Invalid {
		numbers = append(numbers, r.Number)
	}
	return numbers
}

func TestBlockFiles_changedByteIsFound(t *testing.T) {
	folder, l, records := ten(t)
	alter(t, folder, "body-5;")
	if diff := cmp.Diff([]uint64{5}, invalid(verify(t, l))); diff != "" {
		t.Error(diff)
	}
	content := must[[]byte](t)(os.ReadFile(blocks(t, folder)[0]))
	closed(t, l)

	// The NATS server would cut the file there.
	_, err := ledger.Open(within(t), ledger.Options{Folder: folder, Known: records[9].Point(), Log: quiet()})
	if err == nil || !strings.Contains(err.Error(), "1.blk is damaged at byte 1612, in record 5") {
		t.Errorf("the error is %v", err)
	}
	if after := must[[]byte](t)(os.ReadFile(blocks(t, folder)[0])); string(after) != string(content) {
		t.Error("the file was changed")
	}
}

func TestBlockFiles_incompleteEndIsCutIfUnseen(t *testing.T) {
	for name, damage := range map[string]func(content []byte) []byte{
		"a record that is written half": func(content []byte) []byte { return content[:len(content)-20] },
		"a record that is changed":      func(content []byte) []byte { content[len(content)-20] ^= 1; return content },
		"a length that is written half": func(content []byte) []byte { return append(content, 1, 2) },
	} {
		t.Run(name, func(t *testing.T) {
			folder, l, records := ten(t)
			closed(t, l)
			// The index is of a server that was stopped; one that is killed
			// leaves none, or an old one.
			block := blocks(t, folder)[0]
			_ = os.Remove(filepath.Join(filepath.Dir(block), "index.db"))
			content := damage(must[[]byte](t)(os.ReadFile(block)))
			if err := os.WriteFile(block, content, 0o600); err != nil {
				t.Fatal(err)
			}
			last, want := records[8], "in record 10"
			if name == "a length that is written half" {
				last, want = records[9], ""
			}
			if want != "" {
				_, err := ledger.Open(within(t), ledger.Options{Folder: folder, Known: records[9].Point(), Log: quiet()})
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Fatalf("with the last record known the error is %v", err)
				}
			}
			l = open(t, ledger.Options{Folder: folder, Known: last.Point()})
			if report := verify(t, l); report.Last != last.Point() || len(report.Invalid) > 0 {
				t.Errorf("it is %+v", report)
			}
			add(t, l, last.Point(), "again")
		})
	}
}

func TestOpen_lostLedgerIsNotMadeAnew(t *testing.T) {
	for name, lose := range map[string]func(folder string) error{
		"the folder": os.RemoveAll,
		"the messages": func(folder string) error {
			return os.RemoveAll(filepath.Join(folder, "jetstream/$G/streams/exitgate-ledger/msgs"))
		},
		"what the stream is": func(folder string) error {
			return os.Remove(filepath.Join(folder, "jetstream/$G/streams/exitgate-ledger/meta.inf"))
		},
		"that the stream's is well": func(folder string) error {
			return os.WriteFile(filepath.Join(folder, "jetstream/$G/streams/exitgate-ledger/meta.sum"), []byte("no"), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			folder, l, records := ten(t)
			closed(t, l)
			if err := lose(folder); err != nil {
				t.Fatal(err)
			}
			_, err := ledger.Open(within(t), ledger.Options{Folder: folder, Known: records[9].Point(), Log: quiet()})
			if !errors.Is(err, ledger.ErrHistory) || !strings.Contains(err.Error(), folder) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func TestOpen_unusableFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	used := t.TempDir()
	open(t, ledger.Options{Folder: used})
	for folder, want := range map[string]string{
		file:             "open the ledger in " + file + ": mkdir " + file + ": " + syscall.ENOTDIR.Error(),
		"/proc/exitgate": "open the ledger in /proc/exitgate: mkdir /proc/exitgate: " + syscall.ENOENT.Error(),
		used:             "open the ledger in " + used + ": another gateway runs with this data folder (" + used + "/lock is locked): stop it, or give this one another folder",
		"":               "open the ledger in : no folder is set",
	} {
		_, err := ledger.Open(context.Background(), ledger.Options{Folder: folder, Log: quiet()})
		if err == nil || err.Error() != want {
			t.Errorf("the error is\n%v, want\n%s", err, want)
		}
	}
}

func TestHistory_damagedLastRecord(t *testing.T) {
	folder, l, _ := ten(t)
	closed(t, l) // which leaves an index with ten
	block := blocks(t, folder)[0]
	content := must[[]byte](t)(os.ReadFile(block))
	content[len(content)-20] ^= 1
	if err := os.WriteFile(block, content, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(within(t), ledger.Options{Folder: folder, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, l) })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, err := range l.History(ctx, ledger.Point{}) {
		if err != nil && ctx.Err() != nil {
			t.Fatalf("it waits: %v", err)
		}
	}
}

// Issue 10, number 17: after a power cut the file ends with zero bytes.
func TestRepair(t *testing.T) {
	t.Parallel()
	folder, l, records := ten(t)
	closed(t, l)
	known := ledger.Options{Folder: folder, Known: records[9].Point(), Log: quiet()}
	repair := func(o ledger.Options, cut bool) (*ledger.Tail, error) {
		t.Helper()
		before := must[[]byte](t)(os.ReadFile(blocks(t, folder)[0]))
		tail, err := ledger.Repair(o, cut)
		if after := must[[]byte](t)(os.ReadFile(blocks(t, folder)[0])); (!cut || err != nil) && string(after) != string(before) {
			t.Error("the file was changed")
		}
		return tail, err
	}
	if tail, err := repair(known, true); tail != nil || err != nil {
		t.Errorf("with nothing damaged it is %+v, %v", tail, err)
	}
	block := blocks(t, folder)[0]
	content := must[[]byte](t)(os.ReadFile(block))
	damage := func(with []byte) {
		t.Helper()
		if err := os.WriteFile(block, with, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	damage(append(slices.Clone(content), make([]byte, 4096)...))
	if _, err := ledger.Open(within(t), known); err == nil || !strings.Contains(err.Error(), "exitgate ledger repair") {
		t.Fatalf("the error is %v", err)
	}
	want := &ledger.Tail{File: block, Offset: int64(len(content)), Bytes: 4096, After: 10, What: "its length is impossible"}
	if tail, err := repair(known, false); err != nil || cmp.Diff(want, tail) != "" {
		t.Errorf("it is %+v, %v", tail, err)
	}
	tail, err := repair(known, true)
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := os.ReadFile(tail.Copy); err != nil || len(kept) != len(content)+4096 {
		t.Errorf("kept are %d bytes, %v", len(kept), err)
	}
	again := open(t, known)
	if report := verify(t, again); report.Records != 10 || report.Invalid != nil {
		t.Errorf("it is %+v", report)
	}
	add(t, again, records[9].Point(), "again")
	if _, err := ledger.Repair(known, true); err == nil {
		t.Error("it is repaired while it is used")
	}
	closed(t, again)

	// What this machine has seen is not cut off, nor a whole record.
	zeroed := slices.Clone(content)
	clear(zeroed[len(zeroed)-30:])
	damage(append(zeroed, make([]byte, 100)...))
	if _, err := repair(known, true); !errors.Is(err, ledger.ErrNotTail) {
		t.Errorf("of a record that is known the error is %v", err)
	}
	less := known
	less.Known = records[8].Point()
	if tail, err := repair(less, false); err != nil || tail.After != 9 {
		t.Errorf("of one that isn't known it is %+v, %v", tail, err)
	}
	middle := slices.Clone(content)
	middle[strings.Index(string(middle), "body-5;")] ^= 1
	damage(middle)
	less.Known = records[2].Point()
	if _, err := repair(less, true); !errors.Is(err, ledger.ErrNotTail) {
		t.Errorf("before a whole record the error is %v", err)
	}
}
