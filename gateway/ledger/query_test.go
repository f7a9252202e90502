package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/gateway/ledger/ledgertest"
)

// answers is what is answered, in alphabetical order.
func answers(t testing.TB, l *ledger.Ledger, question string) (texts []string) {
	t.Helper()
	for _, a := range must[[][]byte](t)(l.Query(within(t), ledger.Topic{Name: "traffic"}, []byte(question))) {
		texts = append(texts, string(a))
	}
	slices.Sort(texts)
	return texts
}

// echo answers with a name and the question.
func echo(t testing.TB, l *ledger.Ledger, name string) {
	t.Helper()
	err := l.Respond(ledger.Topic{Name: "traffic"}, func(_ context.Context, question []byte) []byte { return []byte(name + " " + string(question)) })
	if err != nil {
		t.Fatal(err)
	}
}

func TestQuery_alone(t *testing.T) {
	l := open(t, ledger.Options{Folder: t.TempDir()})
	if got := answers(t, l, "how many?"); got != nil {
		t.Errorf("before anybody answers there is %q", got)
	}
	echo(t, l, "one")
	if diff := cmp.Diff([]string{"one how many?"}, answers(t, l, "how many?")); diff != "" {
		t.Error(diff)
	}
	if got := must[[][]byte](t)(l.Query(within(t), ledger.Topic{Name: "weather"}, nil)); got != nil {
		t.Errorf("on another topic there is %q", got)
	}
}

func TestQuery_afterReconnecting(t *testing.T) {
	t.Parallel()
	s := alone(t, t.TempDir(), -1)
	link := ledgertest.NewLink(t, s.ClientURL())
	cut, other, silent := open(t, elsewhere(link.URL())), open(t, elsewhere(s.ClientURL())), open(t, elsewhere(s.ClientURL()))
	for _, l := range []*ledger.Ledger{cut, other, silent} {
		connected(t, l, true)
	}
	if got := answers(t, silent, "how many?"); got != nil {
		t.Errorf("before anybody answers there is %q", got)
	}
	echo(t, cut, "one")
	echo(t, other, "two")
	both := []string{"one how many?", "two how many?"}
	until(t, func() bool { return slices.Equal(answers(t, silent, "how many?"), both) }, "both answer")
	if diff := cmp.Diff(both, answers(t, cut, "how many?")); diff != "" {
		t.Error(diff)
	}

	link.Cut()
	connected(t, cut, false)
	if diff := cmp.Diff([]string{"two how many?"}, answers(t, silent, "how many?")); diff != "" {
		t.Error(diff)
	}
	if _, err := cut.Query(within(t), ledger.Topic{Name: "traffic"}, nil); err == nil {
		t.Errorf("the error is %v", err)
	}
	link.Restore()
	connected(t, cut, true)
	until(t, func() bool { return slices.Equal(answers(t, silent, "how many?"), both) }, "both answer again")
}

func TestQuery_slowResponses(t *testing.T) {
	l := open(t, ledger.Options{Folder: t.TempDir()})
	f := follow(t, l, ledger.Point{})
	asked, ended := make(chan struct{}), make(chan struct{})
	err := l.Respond(ledger.Topic{Name: "traffic"}, func(ctx context.Context, _ []byte) []byte {
		close(asked)
		<-ctx.Done()
		close(ended)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	go func() {
		got, err := l.Query(within(t), ledger.Topic{Name: "traffic"}, nil)
		if got != nil {
			err = fmt.Errorf("there is %q", got)
		}
		waited <- err
	}()
	<-asked
	add(t, l, ledger.Point{}, "a")
	f.until("1 a")
	if err := <-waited; err != nil {
		t.Error(err)
	}
	closed(t, l)
	select {
	case <-ended:
	default:
		t.Error("it is closed before the answer is over")
	}
}

func TestQuery_limits(t *testing.T) {
	s := alone(t, t.TempDir(), -1)
	l := open(t, elsewhere(s.ClientURL()))
	connected(t, l, true)
	echo(t, l, "good")
	peer := connect(t, s.ClientURL())
	must[*nats.Subscription](t)(peer.Subscribe("exitgate.ask.traffic", func(m *nats.Msg) {
		if err := m.Respond(make([]byte, ledger.MaxMessage+1)); err != nil {
			t.Error(err)
		}
		for range 2 * ledger.MaxReplies {
			_ = m.Respond([]byte("more"))
		}
	}))
	if err := peer.Flush(); err != nil {
		t.Fatal(err)
	}
	got := answers(t, l, "")
	if len(got) > ledger.MaxReplies || !slices.Contains(got, "more") {
		t.Errorf("there are %d answers", len(got))
	}
	for _, a := range got {
		if a != "more" && a != "good " {
			t.Errorf("%.20q is an answer", a)
		}
	}

	large := make([]byte, ledger.MaxMessage+1)
	if _, err := l.Query(within(t), ledger.Topic{Name: "traffic"}, large); err == nil {
		t.Errorf("the error is %v", err)
	}
	if err := l.Respond(ledger.Topic{Name: "large"}, func(context.Context, []byte) []byte { return large }); err != nil {
		t.Fatal(err)
	}
	if got := must[[][]byte](t)(l.Query(within(t), ledger.Topic{Name: "large"}, nil)); got != nil {
		t.Errorf("there are %d answers", len(got))
	}
	if err := l.Respond(ledger.Topic{Name: "largest"}, func(_ context.Context, question []byte) []byte { return question }); err != nil {
		t.Fatal(err)
	}
	if got := must[[][]byte](t)(l.Query(within(t), ledger.Topic{Name: "largest"}, large[1:])); len(got) != 1 || !bytes.Equal(got[0], large[1:]) {
		t.Errorf("there are %d answers", len(got))
	}
}

func TestQuery_ends(t *testing.T) {
	l := open(t, ledger.Options{Folder: t.TempDir()})
	asked := make(chan struct{})
	err := l.Respond(ledger.Topic{Name: "traffic"}, func(ctx context.Context, _ []byte) []byte {
		asked <- struct{}{}
		<-ctx.Done()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(within(t))
	go func() { <-asked; cancel() }()
	if _, err := l.Query(ctx, ledger.Topic{Name: "traffic"}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	closed(t, l)
	if _, err := l.Query(within(t), ledger.Topic{Name: "traffic"}, nil); !errors.Is(err, ledger.ErrClosed) {
		t.Errorf("the error is %v", err)
	}
	if err := l.Respond(ledger.Topic{Name: "traffic"}, nil); !errors.Is(err, ledger.ErrClosed) {
		t.Errorf("the error is %v", err)
	}
}

func TestQuery_topic(t *testing.T) {
	l := open(t, ledger.Options{Folder: t.TempDir()})
	for _, name := range []string{"", "a.b", "*", ">", "a b"} {
		topic := ledger.Topic{Name: name}
		if err := l.Respond(topic, nil); err == nil {
			t.Errorf("%q can be responded to", name)
		}
		if _, err := l.Query(within(t), topic, nil); err == nil {
			t.Errorf("%q can be asked", name)
		}
	}
}
