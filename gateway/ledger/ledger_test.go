package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/gateway/ledger"
)

func TestHistory(t *testing.T) {
	folder := t.TempDir()
	l := open(t, ledger.Options{Folder: folder})
	body := []byte("version: 1\nnotices: <b>\u2028\x00\xff\n")
	first := must[ledger.Record](t)(l.Append(within(t), ledger.Point{}, ledger.Content{Kind: "revision", Author: "ada <ada@example.org>", Reason: "a\nb & c\u2028", Body: body}))
	second := must[ledger.Record](t)(l.Append(within(t), first.Point(), ledger.Content{Kind: "approval", Author: "bo"}))
	if first.Number != 1 || second.Number != 2 || second.Previous != first.Hash || first.Previous != (ledger.Hash{}) {
		t.Errorf("they aren't chained: %+v, %+v", first, second)
	}
	want := []ledger.Record{first, second}
	want[1].Body = []byte{}
	for range 2 {
		var got []ledger.Record
		for r, err := range l.History(within(t), ledger.Point{}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, r)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		closed(t, l)
		l = open(t, ledger.Options{Folder: folder, Known: second.Point()})
	}
}

func TestAppend_oneOfTwoWritersWins(t *testing.T) {
	l := open(t, ledger.Options{Folder: t.TempDir()})
	var after ledger.Point
	for range 20 {
		var running sync.WaitGroup
		records, errs := make([]ledger.Record, 4), make([]error, 4)
		for i := range records {
			running.Go(func() {
				records[i], errs[i] = l.Append(within(t), after, entry(fmt.Sprint("by ", i)))
			})
		}
		running.Wait()
		winner := -1
		for i, err := range errs {
			if err == nil {
				if winner >= 0 {
					t.Fatalf("both %d and %d won", winner, i)
				}
				winner = i
			}
		}
		for i, err := range errs {
			var conflict *ledger.Conflict
			if i != winner && (!errors.As(err, &conflict) || conflict.Winner.Hash != records[winner].Hash) {
				t.Errorf("the error of %d is %v, not a conflict with %v", i, err, records[winner].Point())
			}
		}
		after = records[winner].Point()
	}
	if got := len(history(t, l)); got != 20 {
		t.Errorf("there are %d records, want 20", got)
	}
}

func TestAppend_conflictIsTheFirstRecordBetween(t *testing.T) {
	l := open(t, ledger.Options{Folder: t.TempDir()})
	records := add(t, l, ledger.Point{}, "a", "b", "c", "d")
	_, err := l.Append(within(t), records[1].Point(), entry("e"))
	var conflict *ledger.Conflict
	if !errors.As(err, &conflict) || conflict.Winner.Point() != records[2].Point() {
		t.Errorf("the error is %v, want a conflict with record 3", err)
	}
}

func TestFollow(t *testing.T) {
	l := open(t, ledger.Options{Folder: t.TempDir()})
	records := add(t, l, ledger.Point{}, "a", "b")
	all, later := follow(t, l, ledger.Point{}), follow(t, l, records[0].Point())
	all.until("2 b")
	add(t, l, records[1].Point(), "c", "d")
	all.until("4 d")
	later.until("4 d")
	if diff := cmp.Diff([]string{"1 a", "2 b", "3 c", "4 d"}, all.got()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"2 b", "3 c", "4 d"}, later.got()); diff != "" {
		t.Error(diff)
	}
	if err := all.stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	closed(t, l)
	if err := later.stop(); !errors.Is(err, ledger.ErrClosed) && !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}

func TestFollow_caughtUp(t *testing.T) {
	l := open(t, ledger.Options{Folder: t.TempDir()})
	records := add(t, l, ledger.Point{}, "a", "b", "c", "d")
	f := follow(t, l, records[0].Point())
	f.until("4 d")
	add(t, l, records[3].Point(), "e", "f")
	f.until("6 f")
	_ = f.stop() // it settles once more
	if want := []int{3, 4, 5}; !slices.Equal(f.caughtUp, want) {
		t.Errorf("it had caught up after %v records, not %v", f.caughtUp, want)
	}
}

func TestAppend_largestPolicy(t *testing.T) {
	t.Parallel()
	l := open(t, ledger.Options{Folder: t.TempDir()})
	f := follow(t, l, ledger.Point{})
	large := bytes.Repeat([]byte("x"), ledger.MaxBody)
	r, err := l.Append(within(t), ledger.Point{}, ledger.Content{Kind: "revision", Author: "ada", Reason: strings.Repeat("\u2028", ledger.MaxReason/3), Body: large})
	if err != nil {
		t.Fatal(err)
	}
	f.until(line(r))
	_, err = l.Append(within(t), r.Point(), ledger.Content{Kind: "revision", Author: "ada", Body: append(large, 'x')})
	if want := "the body has 9437185 bytes: the limit is 9437184"; err == nil || err.Error() != want {
		t.Errorf("the error is %v, want %q", err, want)
	}
}

func TestRecord(t *testing.T) {
	s := alone(t, t.TempDir(), -1)
	l := open(t, elsewhere(s.ClientURL()))
	for _, number := range []uint64{0, 1} {
		if _, err := l.Record(within(t), number); !errors.Is(err, ledger.ErrNoRecord) {
			t.Errorf("the error is %v", err)
		}
	}
	records := add(t, l, ledger.Point{}, "a", "b")
	js := raw(t, s.ClientURL())
	publish(t, js, []byte("hello"), "") // 3
	for i, want := range records {
		if diff := cmp.Diff(want, must[ledger.Record](t)(l.Record(within(t), uint64(i+1)))); diff != "" {
			t.Error(diff)
		}
	}
	var invalid ledger.InvalidRecord
	if _, err := l.Record(within(t), 3); !errors.As(err, &invalid) || invalid.Number != 3 {
		t.Errorf("the error is %v", err)
	}
	if _, err := l.Record(within(t), 4); !errors.Is(err, ledger.ErrNoRecord) {
		t.Errorf("the error is %v", err)
	}
	closed(t, l)
	if _, err := l.Record(within(t), 1); !errors.Is(err, ledger.ErrClosed) {
		t.Errorf("the error is %v", err)
	}
}
