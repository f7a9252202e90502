package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A Bucket has values that change, beside the ledger and on the same NATS.
// Nothing uses one yet: certificates of a cluster will.
// Its keys are of letters, digits and any of - _ = . /.
type Bucket struct{ values jetstream.KeyValue }

// A Value is that of a key in a bucket.
type Value struct {
	Data     []byte
	Revision uint64 // of the bucket, rising with every change; 0: there is none
	Time     time.Time
}

var (
	// ErrNoValue is the error of a key that has no value.
	ErrNoValue = errors.New("no such value")
	// ErrChanged is the error of a write for another revision than the
	// value has.
	ErrChanged = errors.New("the value was changed since it was read")
)

// Bucket returns the bucket of a name, made if it is missing.
func (l *Ledger) Bucket(ctx context.Context, name string) (*Bucket, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	name = l.options.Name + "-" + name
	values, err := l.writing.KeyValue(ctx, name)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		values, err = l.writing.CreateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket:         name,
			History:        1,
			MaxValueSize:   1 << 20,
			Replicas:       l.replicas(),
			LimitMarkerTTL: time.Hour, // without it no value could expire
		})
	}
	if err != nil {
		return nil, fmt.Errorf("the bucket %s: %w", name, err)
	}
	return &Bucket{values}, nil
}

// Get returns a key's value, or [ErrNoValue].
func (b *Bucket) Get(ctx context.Context, key string) (Value, error) {
	e, err := b.values.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return Value{}, fmt.Errorf("%s: %w", key, ErrNoValue)
	}
	if err != nil {
		return Value{}, fmt.Errorf("%s: %w", key, err)
	}
	return Value{e.Value(), e.Revision(), e.Created()}, nil
}

// Put sets a key's value if its revision is still this one, 0 if it has none,
// and else returns [ErrChanged]. A new value may expire after a time to live; 0
// is never.
func (b *Bucket) Put(ctx context.Context, key string, data []byte, revision uint64, ttl time.Duration) (uint64, error) {
	var err error
	switch {
	case revision > 0 && ttl > 0:
		return 0, fmt.Errorf("%s: only a new value can expire", key)
	case revision > 0:
		revision, err = b.values.Update(ctx, key, data, revision)
	case ttl > 0:
		revision, err = b.values.Create(ctx, key, data, jetstream.KeyTTL(ttl))
	default:
		revision, err = b.values.Create(ctx, key, data)
	}
	return revision, bucketError(key, err)
}

// Delete removes a key's value if its revision is still this one, and else
// returns [ErrChanged].
func (b *Bucket) Delete(ctx context.Context, key string, revision uint64) error {
	return bucketError(key, b.values.Delete(ctx, key, jetstream.LastRevision(revision)))
}

func bucketError(key string, err error) error {
	var api *jetstream.APIError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrKeyExists),
		errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant):
		return fmt.Errorf("%s: %w", key, ErrChanged)
	}
	return fmt.Errorf("%s: %w", key, err)
}

// Keys returns the keys that have values, in no order.
func (b *Bucket) Keys(ctx context.Context) ([]string, error) {
	keys, err := b.values.Keys(ctx)
	if errors.Is(err, jetstream.ErrNoKeysFound) {
		return nil, nil
	}
	return keys, err
}
