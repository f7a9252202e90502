package traffic_test

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/exitgate/exitgate/gateway/traffic"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/plan"
)

var (
	began  = time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)
	served = traffic.Key{Traffic: plan.Traffic{Jurisdiction: "FR", Class: "sign-up", UnknownPart: true}, Entry: policy.Default}
	hidden = traffic.Key{Traffic: plan.Traffic{Jurisdiction: "FR", Class: "sign-up", Anonymous: true}, Entry: policy.Anonymous, Refused: true}
)

type counts = map[traffic.Key]uint64

func want(t *testing.T, is traffic.Sums, since time.Time, hour, day counts) {
	t.Helper()
	if diff := cmp.Diff(traffic.Sums{Since: since, Hour: hour, Day: day}, is); diff != "" {
		t.Error(diff)
	}
}

func TestCounts_hourAndDay(t *testing.T) {
	c := traffic.New(began)
	want(t, c.Sums(began), began, counts{}, counts{})
	c.Counter(served).Inc()
	c.Counter(served).Inc()
	c.Counter(hidden).Inc()
	both := counts{served: 2, hidden: 1}
	want(t, c.Sums(began.Add(4*time.Minute)), began, both, both)
	want(t, c.Sums(began.Add(65*time.Minute-1)), began, both, both)
	want(t, c.Sums(began.Add(65*time.Minute)), began, counts{}, both)
	c.Counter(hidden).Inc()
	want(t, c.Sums(began.Add(25*time.Hour-1)), began, counts{hidden: 1}, counts{served: 2, hidden: 2})
	want(t, c.Sums(began.Add(25*time.Hour)), began, counts{hidden: 1}, counts{hidden: 1})
	want(t, c.Sums(began.Add(100*time.Hour)), began, counts{}, counts{})
}

func TestCounter_isTheSameForAKey(t *testing.T) {
	c := traffic.New(began)
	counter := c.Counter(served)
	for i := range 200 {
		runtime.GC()
		c.Sweep(began.Add(time.Duration(i) * time.Hour))
		if c.Counter(served) != counter {
			t.Fatalf("after %d hours it is another", i)
		}
	}
	if c.Counter(hidden) == counter {
		t.Error("that of another key is the same")
	}
}

func TestCounter_afterALongIdleTime(t *testing.T) {
	c := traffic.New(began)
	counter := c.Counter(served)
	for i := range 200 {
		runtime.GC()
		c.Sweep(began.Add(time.Duration(i) * time.Hour))
	}
	counter.Inc()
	want(t, c.Sums(began.Add(200*time.Hour)), began, counts{served: 1}, counts{served: 1})
}

func TestCounts_outliveTheirPolicy(t *testing.T) {
	c := traffic.New(began)
	c.Counter(served).Inc()
	runtime.GC()
	want(t, c.Sums(began), began, counts{served: 1}, counts{served: 1})
	runtime.GC()
	c.Counter(served).Inc()
	want(t, c.Sums(began), began, counts{served: 2}, counts{served: 2})
}

func key(i int) traffic.Key {
	return traffic.Key{Traffic: plan.Traffic{Jurisdiction: policy.Code(fmt.Sprintf("US-%d", i/12)), Class: fmt.Sprint("class-", i%6), Anonymous: i/6%2 == 1}, Entry: "US"}
}

func TestCounter_beyondMaxKeys(t *testing.T) {
	c := traffic.New(began)
	for i := range traffic.MaxKeys {
		if i%2 == 0 {
			c.Counter(key(i)).Inc()
		} else {
			c.Counter(key(i))
		}
	}
	c.Counter(key(traffic.MaxKeys)).Inc()
	c.Counter(key(traffic.MaxKeys + 1)).Inc()
	c.Counter(key(0)).Inc()
	sums := c.Sums(began)
	if len(sums.Day) != traffic.MaxKeys/2+1 || sums.Day[traffic.Key{}] != 2 || sums.Day[key(0)] != 2 {
		t.Errorf("there are %d keys, %d requests of others, %d of the first", len(sums.Day), sums.Day[traffic.Key{}], sums.Day[key(0)])
	}

	// Those of old policies make room in time.
	held := c.Counter(key(1))
	c.Sweep(began.Add(25 * time.Hour))
	c.Sweep(began.Add(50 * time.Hour))
	runtime.GC()
	c.Sweep(began.Add(50 * time.Hour))
	c.Counter(key(traffic.MaxKeys)).Inc()
	held.Inc()
	want(t, c.Sums(began.Add(50*time.Hour)), began, counts{key(1): 1, key(traffic.MaxKeys): 1}, counts{key(1): 1, key(traffic.MaxKeys): 1})
}

func TestSweep_clockThatIsSet(t *testing.T) {
	c := traffic.New(began)
	counter := c.Counter(served)
	counter.Inc()
	c.Sweep(began.Add(30 * time.Minute))
	back := began.Add(-72 * time.Hour) // and it is the same moment
	counter.Inc()
	want(t, c.Sums(back), back.Add(-30*time.Minute), counts{served: 2}, counts{served: 2})
	want(t, c.Sums(back.Add(65*time.Minute)), back.Add(-30*time.Minute), counts{}, counts{served: 2})
	counter.Inc()
	want(t, c.Sums(began), back.Add(-30*time.Minute), counts{served: 1}, counts{served: 1})

	for _, at := range []time.Time{{}, time.Unix(math.MaxInt32, 0), time.Unix(1<<40, 0), time.Unix(-1<<40, 0), began} {
		counter.Inc()
		if sums := c.Sums(at); sums.Hour[served] == 0 || sums.Day[served] < sums.Hour[served] || sums.Day[served] > 20 {
			t.Errorf("at %v there are %v, %v", at, sums.Hour, sums.Day)
		}
	}
}

// The model is a list of when each request came and when it was swept.
func TestCounts_likeAListOfRequests(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type request struct {
			key         traffic.Key
			came, swept time.Time
		}
		keys := []traffic.Key{served, hidden, key(1), key(2)}
		var requests []request
		now := began
		c := traffic.New(now)
		slot := func(at time.Time, length time.Duration) int64 { return int64(at.Sub(began) / length) }
		check := func() {
			sums := c.Sums(now)
			hour, day := counts{}, counts{}       // as the slots have it
			atLeast, atMost := counts{}, counts{} // as the documentation has it
			for i := range requests {
				r := &requests[i]
				if r.swept.IsZero() {
					r.swept = now
				}
				if slot(now, 5*time.Minute)-slot(r.swept, 5*time.Minute) <= 12 {
					hour[r.key]++
				}
				if slot(now, time.Hour)-slot(r.swept, time.Hour) <= 24 {
					day[r.key]++
				}
				if now.Sub(r.came) <= time.Hour {
					atLeast[r.key]++
				}
				if now.Sub(r.came)-r.swept.Sub(r.came) < 65*time.Minute {
					atMost[r.key]++
				}
			}
			if diff := cmp.Diff(traffic.Sums{Since: began, Hour: hour, Day: day}, sums); diff != "" {
				t.Fatal(diff)
			}
			for _, k := range keys {
				if n := sums.Hour[k]; n < atLeast[k] || n > atMost[k] {
					t.Fatalf("%d in the hour, and there were %d to %d", n, atLeast[k], atMost[k])
				}
			}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"count", "count", "sum", "sweep", "wait", "wait long"}).Draw(t, "step") {
			case "count":
				k := rapid.SampledFrom(keys).Draw(t, "key")
				c.Counter(k).Inc()
				requests = append(requests, request{key: k, came: now})
			case "sum":
				check()
			case "sweep":
				c.Sweep(now)
				for i := range requests {
					if requests[i].swept.IsZero() {
						requests[i].swept = now
					}
				}
			case "wait":
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(10*time.Minute)).Draw(t, "wait")))
			case "wait long":
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(30*time.Hour)).Draw(t, "wait")))
			}
		}
		check()
	})
}

func TestCounter_concurrentUse(t *testing.T) {
	c := traffic.New(began)
	var running sync.WaitGroup
	for i := range 8 {
		running.Go(func() {
			for range 1000 {
				c.Counter(key(i % 4)).Inc()
			}
		})
		running.Go(func() {
			for at := range 100 {
				c.Sums(began.Add(time.Duration(at) * time.Second))
			}
		})
	}
	running.Wait()
	all := counts{}
	for i := range 4 {
		all[key(i)] = 2000
	}
	sums := c.Sums(began.Add(2 * time.Minute))
	if diff := cmp.Diff(all, sums.Hour); diff != "" {
		t.Error(diff)
	}
}

func BenchmarkInc(b *testing.B) {
	parallel := func(b *testing.B, pick func(goroutine int) traffic.Key) {
		c := traffic.New(began)
		// In memory side by side, as when a policy is compiled.
		var counters []*traffic.Counter
		for i := range 8 {
			counters = append(counters, c.Counter(pick(i)))
		}
		b.ReportAllocs()
		b.ResetTimer()
		var running sync.WaitGroup
		for _, counter := range counters {
			running.Go(func() {
				for range b.N / len(counters) {
					counter.Inc()
				}
			})
		}
		running.Wait()
	}
	b.Run("one key", func(b *testing.B) { parallel(b, func(int) traffic.Key { return served }) })
	b.Run("eight keys", func(b *testing.B) { parallel(b, key) })
}

func BenchmarkSums(b *testing.B) {
	c := traffic.New(began)
	for i := range 10_000 {
		c.Counter(key(i)).Inc()
	}
	now := began
	b.Run("Sums", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			now = now.Add(time.Millisecond)
			c.Sums(now)
		}
	})
	b.Run("Sweep", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			now = now.Add(time.Millisecond)
			c.Sweep(now)
		}
	})
	sums := c.Sums(now)
	text, err := sums.MarshalJSON()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("MarshalJSON", func(b *testing.B) {
		for b.Loop() {
			if _, err := sums.MarshalJSON(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(text))/10_000, "B/key")
	})
	b.Run("UnmarshalJSON", func(b *testing.B) {
		for b.Loop() {
			var s traffic.Sums
			if err := s.UnmarshalJSON(text); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkMemory is what keys cost that count and that don't.
func BenchmarkMemory(b *testing.B) {
	for name, count := range map[string]bool{"idle": false, "counting": true} {
		b.Run(name, func(b *testing.B) {
			var before, after runtime.MemStats
			for b.Loop() {
				runtime.GC()
				runtime.ReadMemStats(&before)
				c := traffic.New(began)
				for i := range 10_000 {
					counter := c.Counter(key(i))
					if count {
						counter.Inc()
					}
				}
				c.Sweep(began)
				runtime.GC()
				runtime.ReadMemStats(&after)
				runtime.KeepAlive(c)
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/10_000, "B/key")
		})
	}
}
