package main

import (
	"testing"
)

func TestNoDecisionStopsWhileNodesAreLost(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 5)
	f.witnessed(func() {
		s := f.write()
		s.goesOn(3)
		s.account()
	})
}
