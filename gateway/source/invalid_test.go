package source

import (
	"errors"
	"fmt"
	"testing"
)

func TestTheNewestInvalidRecordsAreRemembered(t *testing.T) {
	var r invalidRecords
	for number := range uint64(maxInvalid + 10) {
		r.note(number, fmt.Errorf("it is the %dth", number))
	}
	r.note(500, nil) // another record came in its place, and is good
	for number, want := range map[uint64]string{9: "", 10: "it is the 10th", 500: "", maxInvalid + 9: fmt.Sprintf("it is the %dth", maxInvalid+9)} {
		if got := r.reason(number); got != want {
			t.Errorf("record %d is invalid because of %q, want %q", number, got, want)
		}
	}
	var restored invalidRecords
	restored.restore(r.all())
	restored.note(1, errors.New("it is older, and the list isn't full"))
	if len(restored.all()) != maxInvalid || restored.reason(10) != r.reason(10) {
		t.Errorf("%d are restored", len(restored.all()))
	}
}
