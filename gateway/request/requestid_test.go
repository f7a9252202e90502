package request

import (
	"regexp"
	"sync"
	"testing"
)

func TestRequestIDsDiffer(t *testing.T) {
	var ids requestIDs
	var mu sync.Mutex
	seen := make(map[string]bool)
	form := regexp.MustCompile(`^[A-Z2-7]{26}$`)
	var making sync.WaitGroup
	for range 4 {
		making.Go(func() {
			for range 1000 {
				id := ids.next()
				mu.Lock()
				if seen[id] || !form.MatchString(id) {
					t.Errorf("%q is made again, or isn't as it should be", id)
				}
				seen[id] = true
				mu.Unlock()
			}
		})
	}
	making.Wait()
}
