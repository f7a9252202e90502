// Package traffic counts requests by what decided them, over the last hour and
// the last day, in memory: so that a plan can say what it would have decided
// otherwise. It knows no address, and keeps nothing on disk.
package traffic

import (
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/plan"
)

// A Key tells requests apart.
type Key struct {
	plan.Traffic
	Entry   policy.Code // of the policy, that decided
	Refused bool
}

// MaxKeys is how many keys are told apart. Requests of further ones are
// counted together, under the zero Key.
const MaxKeys = 100_000

// A Counter counts the requests of a key.
type Counter struct {
	n atomic.Uint64
	_ [56]byte // one CPU's counting doesn't slow down another's
}

// Inc counts a request. It is safe for concurrent use.
func (c *Counter) Inc() { c.n.Add(1) }

// Time goes in slots of two lengths. Of each, one runs and those of an hour or
// a day before it are kept.
const (
	hour  = time.Hour
	day   = 24 * time.Hour
	short = 5 * time.Minute
	long  = time.Hour
)

// Counts are the counts of all keys. They are safe for concurrent use.
type Counts struct {
	mu      sync.Mutex
	began   time.Time     // by the clock as it goes now
	elapsed time.Duration // from then to the last sweep
	keys    map[Key]*count
}

// New returns counts that begin now.
func New(now time.Time) *Counts {
	return &Counts{began: now, keys: make(map[Key]*count)}
}

// Counter returns the counter of a key: the same for as long as anybody holds
// it or it has counts.
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

// Sweep dates what was counted since the last sweep: it counts as of now. To
// be called every few seconds; more seldom is less exact, and no request is
// lost by it.
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
		if n.gone() {
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
	counter *Counter // nil: it isn't counted now, unless somebody else holds it
	known   weak.Pointer[Counter]
	swept   uint64        // of the counter; the rest is new
	used    time.Duration // when it was last asked for or counted
	slots   *slots        // nil: it counted nothing for a day
}

// slots have counts by the number of the slot, from New on, modulo how many
// there are.
type slots struct {
	hour [hour/short + 1]uint64
	day  [day/long + 1]uint64
}

// hold returns the counter, and sees to it that it stays.
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

// sweep lets the time go on, and dates what is new.
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
			n.counter = nil // it stays for as long as a policy in use counts with it
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

// advance empties the slots that begin anew on the way from one to another.
func advance(slots []uint64, from, to time.Duration) {
	size := time.Duration(len(slots))
	for slot := max(from, to-size) + 1; slot <= to; slot++ {
		slots[slot%size] = 0
	}
}

// gone says whether there is nothing to know of it any more.
func (n *count) gone() bool {
	return n.counter == nil && n.slots == nil && n.known.Value() == nil
}
