package ledger_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/gateway/ledger"
)

func TestBucket(t *testing.T) {
	folder := t.TempDir()
	l := open(t, ledger.Options{Folder: folder})
	b := must[*ledger.Bucket](t)(l.Bucket(within(t), "principals"))
	if _, err := b.Get(within(t), "ada"); !errors.Is(err, ledger.ErrNoValue) {
		t.Errorf("the error is %v", err)
	}
	if _, err := b.Put(within(t), "ada", []byte("one"), 7, 0); !errors.Is(err, ledger.ErrChanged) {
		t.Errorf("the error is %v", err)
	}
	first := must[uint64](t)(b.Put(within(t), "ada", []byte("one"), 0, 0))
	if _, err := b.Put(within(t), "ada", []byte("two"), 0, 0); !errors.Is(err, ledger.ErrChanged) {
		t.Errorf("the error is %v", err)
	}
	second := must[uint64](t)(b.Put(within(t), "ada", []byte("two"), first, 0))
	if err := b.Delete(within(t), "ada", first); !errors.Is(err, ledger.ErrChanged) {
		t.Errorf("the error is %v", err)
	}
	must[uint64](t)(b.Put(within(t), "bo/x=_-.y", []byte("three"), 0, 0))

	closed(t, l)
	l = open(t, ledger.Options{Folder: folder})
	b = must[*ledger.Bucket](t)(l.Bucket(within(t), "principals"))
	if v := must[ledger.Value](t)(b.Get(within(t), "ada")); string(v.Data) != "two" || v.Revision != second || v.Time.IsZero() {
		t.Errorf("it is %+v", v)
	}
	keys := must[[]string](t)(b.Keys(within(t)))
	slices.Sort(keys)
	if diff := cmp.Diff([]string{"ada", "bo/x=_-.y"}, keys); diff != "" {
		t.Error(diff)
	}
	for _, key := range keys {
		v := must[ledger.Value](t)(b.Get(within(t), key))
		if err := b.Delete(within(t), key, v.Revision); err != nil {
			t.Error(err)
		}
	}
	if keys := must[[]string](t)(b.Keys(within(t))); len(keys) > 0 {
		t.Errorf("%q are left", keys)
	}
	must[uint64](t)(b.Put(within(t), "ada", []byte("again"), 0, 0))
}

func TestBucket_valueExpires(t *testing.T) {
	t.Parallel()
	b := must[*ledger.Bucket](t)(open(t, ledger.Options{Folder: t.TempDir()}).Bucket(within(t), "locks"))
	must[uint64](t)(b.Put(within(t), "lock", nil, 0, time.Second)) // the shortest that NATS knows
	if _, err := b.Put(within(t), "lock", nil, 0, time.Second); !errors.Is(err, ledger.ErrChanged) {
		t.Errorf("the error is %v", err)
	}
	until(t, func() bool {
		_, err := b.Put(within(t), "lock", nil, 0, time.Second)
		return err == nil
	}, "the lock is free")
}
