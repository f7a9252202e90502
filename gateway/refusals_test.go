package gateway

import (
	"errors"
	"fmt"
	"testing"
)

func TestTheNewestRefusalsAreRemembered(t *testing.T) {
	var r refusals
	for number := range uint64(maxRefusals + 10) {
		r.note(number, fmt.Errorf("it is the %dth", number))
	}
	r.note(500, nil) // another record came in its place, and is good
	for number, want := range map[uint64]string{9: "", 10: "it is the 10th", 500: "", maxRefusals + 9: fmt.Sprintf("it is the %dth", maxRefusals+9)} {
		if got := r.of(number); got != want {
			t.Errorf("record %d is refused because of %q, want %q", number, got, want)
		}
	}
	var restored refusals
	restored.restore(r.all())
	restored.note(1, errors.New("it is older, and the list isn't full"))
	if len(restored.all()) != maxRefusals || restored.of(10) != r.of(10) {
		t.Errorf("%d are restored", len(restored.all()))
	}
}
