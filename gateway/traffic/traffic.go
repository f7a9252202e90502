// Package traffic counts requests by what decided them, over the last hour and
// the last day, in memory: so that a plan can show what it would have decided
// otherwise. It has no addresses, and nothing on disk.
package traffic

import (
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/plan"
)

// A Key is what requests are counted by.
type Key struct {
	plan.Traffic
	Entry   policy.Code // the entry of the policy that decided
	Refused bool
}

// MaxKeys is how many keys are counted separately. Requests of further ones are
// counted together, under the zero Key.
const MaxKeys = 100_000

// A Counter counts the requests of a key.
type Counter struct {
	n atomic.Uint64
	_ [56]byte // fills a cache line: no false sharing between counters
}

// Inc counts a request. It is safe for concurrent use.
func (c *Counter) Inc() { c.n.Add(1) }

// Time is divided into slots of two lengths. Of each there is the current one and
// those of an hour or a day before it.
const (
	hour  = time.Hour
	day   = 24 * time.Hour
	short = 5 * time.Minute
	long  = time.Hour
)

// Counts are the counts of all keys. They are safe for concurrent use.
type Counts struct {
	mu      sync.Mutex
	began   time.Time     // by the clock as it is set now
	elapsed time.Duration // from then to the last sweep
	keys    map[Key]*count
}

// New returns counts that begin now.
func New(now time.Time) *Counts {
	return &Counts{began: now, keys: make(map[Key]*count)}
}

// Counter returns the counter of a key: the same for as long as it is referenced
// or has counts.
func (c *Counts) Counter(k Key) *Counter {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys[k] == nil && len(c.keys) >= MaxKeys {
		k = Key{}
	}
	n := c.keys[k]
	if n == nil {
		n = &count{}
		c.keys[k] = n
	}
	n.used = c.elapsed
	return n.hold()
}

// Sweep moves what was counted since the last sweep into the current slots. It is
// to be called every few seconds; less often is less exact, but loses no request.
func (c *Counts) Sweep(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweep(now)
}

func (c *Counts) sweep(now time.Time) {
	last := c.elapsed
	c.elapsed = now.Sub(c.began)
	if c.elapsed < last { // the clock was set back: what was counted keeps its age
		c.elapsed, c.began = last, now.Add(-last)
	}
	for k, n := range c.keys {
		n.sweep(last, c.elapsed)
		if n.unused() {
			delete(c.keys, k)
		}
	}
}

// Sums sweeps and returns what was counted.
func (c *Counts) Sums(now time.Time) Sums {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweep(now)
	s := Sums{Since: c.began.UTC().Round(0), Hour: make(map[Key]uint64, len(c.keys)), Day: make(map[Key]uint64, len(c.keys))}
	for k, n := range c.keys {
		if n.slots != nil {
			put(s.Hour, k, sum(n.slots.hour[:]))
			put(s.Day, k, sum(n.slots.day[:]))
		}
	}
	return s
}

func put(counts map[Key]uint64, k Key, n uint64) {
	if n > 0 {
		counts[k] = n
	}
}

func sum(slots []uint64) (n uint64) {
	for _, count := range slots {
		n += count
	}
	return n
}

// A count is the count of one key.
type count struct {
	counter *Counter // nil: idle; it may be referenced elsewhere
	known   weak.Pointer[Counter]
	swept   uint64        // of the counter, in slots already
	used    time.Duration // when it was last requested or counted
	slots   *slots        // nil: nothing was counted for a day
}

// slots have counts by the number of the slot, from New on, modulo how many
// there are.
type slots struct {
	hour [hour/short + 1]uint64
	day  [day/long + 1]uint64
}

// hold returns the counter, with a reference that keeps it.
func (n *count) hold() *Counter {
	if n.counter == nil {
		n.counter = n.known.Value()
	}
	if n.counter == nil {
		n.counter, n.swept = new(Counter), 0
		n.known = weak.Make(n.counter)
	}
	return n.counter
}

// sweep advances the slots, and adds what is new to the current ones.
func (n *count) sweep(last, now time.Duration) {
	if n.slots != nil {
		advance(n.slots.hour[:], last/short, now/short)
		advance(n.slots.day[:], last/long, now/long)
		if sum(n.slots.day[:]) == 0 {
			n.slots = nil
		}
	}
	counter := n.counter
	if counter == nil {
		counter = n.known.Value()
	}
	if counter == nil {
		return
	}
	total := counter.n.Load()
	if total == n.swept {
		if n.slots == nil && now-n.used > day {
			n.counter = nil // a policy in use that counts with it keeps it
		}
		return
	}
	if n.slots == nil {
		n.slots = new(slots)
	}
	n.slots.hour[now/short%time.Duration(len(n.slots.hour))] += total - n.swept
	n.slots.day[now/long%time.Duration(len(n.slots.day))] += total - n.swept
	n.counter, n.swept, n.used = counter, total, now
}

// advance resets the slots after one, up to another.
func advance(slots []uint64, from, to time.Duration) {
	size := time.Duration(len(slots))
	for slot := max(from, to-size) + 1; slot <= to; slot++ {
		slots[slot%size] = 0
	}
}

// unused reports whether nothing is counted nor will be.
func (n *count) unused() bool {
	return n.counter == nil && n.slots == nil && n.known.Value() == nil
}
