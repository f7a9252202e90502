package ledger_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/exitgate/exitgate/gateway/ledger"
)

func TestExpectAtLeast(t *testing.T) {
	s := alone(t, t.TempDir(), -1)
	l := open(t, elsewhere(s.ClientURL()))
	l.ExpectAtLeast(3)
	l.ExpectAtLeast(2) // has been passed by then
	_, err := l.Append(within(t), ledger.Point{}, entry("a"))
	if !errors.Is(err, ledger.ErrHistory) {
		t.Errorf("the error is %v", err)
	}
	js := raw(t, s.ClientURL())
	if _, err := js.Stream(within(t), "exitgate-ledger"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("the stream was made: %v", err)
	}
	add(t, open(t, elsewhere(s.ClientURL())), ledger.Point{}, "a", "b", "c")
	if diff := cmp.Diff([]string{"1 a", "2 b", "3 c"}, history(t, l)); diff != "" {
		t.Error(diff)
	}
}

func TestVerify_check(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(number uint64, data []byte, id string) ([]byte, string)
		checked []string
		invalid []uint64
		good    int
	}{
		"all is right": {
			func(_ uint64, data []byte, id string) ([]byte, string) { return data, id },
			[]string{"1 a", "2 b", "3 c", "4 d"},
			[]uint64{2},
			3,
		},
		"one is changed": {
			func(number uint64, data []byte, id string) ([]byte, string) {
				if number == 3 {
					data = []byte(strings.Replace(string(data), `"author":"ada"`, `"author":"eve"`, 1))
				}
				return data, id
			},
			[]string{"1 a", "2 b"},
			[]uint64{2, 3},
			2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := alone(t, t.TempDir(), -1)
			add(t, open(t, elsewhere(s.ClientURL())), ledger.Point{}, "a", "b", "c", "d")
			rewrite(t, raw(t, s.ClientURL()), test.change)
			var checked []string
			report, err := open(t, elsewhere(s.ClientURL())).Verify(within(t), func(r ledger.Record) error {
				checked = append(checked, line(r))
				if string(r.Body) == "b" {
					return fmt.Errorf("nobody likes %s", r.Body)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.checked, checked); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.invalid, invalid(report)); diff != "" {
				t.Error(diff)
			}
			if report.Records != test.good || report.Last.Number != 4 {
				t.Errorf("it is %+v", report)
			}
		})
	}
}
