package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Limits of what gateways send to each other.
const (
	MaxMessage = 1 << 20 // bytes of a question or a reply
	MaxReplies = 1000

	maxAllReplies = 64 << 20 // bytes
)

// A Topic is what gateways ask each other about.
type Topic struct {
	Name string
	Slow bool // a reply takes those who give it a while
}

// idle returns how long a query waits without another reply.
func (t Topic) idle() time.Duration {
	if t.Slow {
		return 2 * time.Second
	}
	return 150 * time.Millisecond
}

// timeout returns how long a query waits for all replies.
func (t Topic) timeout() time.Duration {
	if t.Slow {
		return 8 * time.Second
	}
	return time.Second
}

func (l *Ledger) topicSubject(topic Topic) (subject string, err error) {
	if topic.Name == "" || strings.ContainsAny(topic.Name, " \t\r\n.*>") {
		return "", fmt.Errorf("topic %q: it must not be empty, nor have spaces or any of . * > in it", topic.Name)
	}
	return l.options.Name + ".ask." + topic.Name, nil
}

// Respond replies to the questions of a topic, this gateway's own and others',
// until Close, one at a time. The context ends when nobody waits any more. A
// reply of more than [MaxMessage] is not sent.
func (l *Ledger) Respond(topic Topic, reply func(ctx context.Context, question []byte) []byte) error {
	subject, err := l.topicSubject(topic)
	if err != nil {
		return err
	}
	questions, err := l.conn.Subscribe(subject, func(question *nats.Msg) {
		if len(question.Data) > MaxMessage || question.Reply == "" || !l.beginResponse() {
			return
		}
		defer l.responses.Done()
		ctx, cancel := context.WithTimeout(l.ctx, topic.timeout())
		defer cancel()
		text := reply(ctx, question.Data)
		if len(text) > MaxMessage {
			l.options.Log.Error("reply to a query too large, not sent", "topic", topic.Name, "bytes", len(text), "limit", MaxMessage)
			return
		}
		if err := question.Respond(text); err != nil && l.ctx.Err() == nil {
			l.options.Log.Warn("reply to a query not sent", "topic", topic.Name, "error", err)
		}
	})
	if err == nil {
		err = questions.SetPendingLimits(MaxReplies, 16*MaxMessage)
	}
	if err != nil {
		return l.queryError("respond to "+topic.Name, err)
	}
	return nil
}

// beginResponse reports whether a response may begin; Close waits for those that
// have.
func (l *Ledger) beginResponse() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		return false
	}
	l.responses.Add(1)
	return true
}

// Query asks all gateways that respond to a topic, this one among them if it does,
// and returns their replies in no order: there may be none. It waits until none
// came for 150 ms, for a second at the most, longer for what takes a while, and not at all
// where there are no other gateways. An error says that the question wasn't sent, or that the waiting
// was cut short: by the context, Close or a lost connection. The replies that came
// until then are returned with it. Whoever may publish to the topic's subject can
// reply: the caller has to check what a reply says.
func (l *Ledger) Query(ctx context.Context, topic Topic, question []byte) (replies [][]byte, err error) {
	subject, err := l.topicSubject(topic)
	if err != nil {
		return nil, err
	}
	if len(question) > MaxMessage {
		return nil, fmt.Errorf("query %s: the question has %d bytes: the limit is %d", topic.Name, len(question), MaxMessage)
	}
	ctx, release := l.untilClosed(ctx)
	defer release()
	err = l.whileConnected(ctx, func(ctx context.Context) error {
		inbox := l.conn.NewInbox()
		inbound, err := l.conn.SubscribeSync(inbox)
		if err != nil {
			return err
		}
		defer func() { _ = inbound.Unsubscribe() }() // fails only if the connection is closed
		if err := inbound.SetPendingLimits(MaxReplies, maxAllReplies); err != nil {
			return err
		}
		if err := l.conn.PublishRequest(subject, inbox, question); err != nil {
			return err
		}
		replies, err = l.collect(ctx, inbound, topic)
		return err
	})
	if err != nil {
		err = l.queryError("query "+topic.Name, err)
	}
	return replies, err
}

// collect receives replies until it is clear that all are in.
func (l *Ledger) collect(ctx context.Context, inbound *nats.Subscription, topic Topic) (replies [][]byte, err error) {
	all, cancel := context.WithTimeout(ctx, topic.timeout())
	defer cancel()
	for size := 0; len(replies) < MaxReplies; {
		if l.server != nil && len(replies) == 1 {
			break // nobody else can be asked
		}
		waiting, cancel := context.WithTimeout(all, topic.idle())
		m, err := inbound.NextMsgWithContext(waiting)
		cancel()
		switch {
		case err == nil && len(m.Data) > MaxMessage, errors.Is(err, nats.ErrSlowConsumer):
			continue // what is too much is left out
		case errors.Is(err, nats.ErrNoResponders), err != nil && waiting.Err() != nil:
			return replies, ctx.Err()
		case err != nil:
			return replies, err
		}
		if size += len(m.Data); size > maxAllReplies {
			break
		}
		replies = append(replies, m.Data)
	}
	return replies, nil
}

func (l *Ledger) queryError(what string, err error) error {
	switch {
	case l.ctx.Err() != nil:
		err = ErrClosed
	case errors.Is(err, nats.ErrReconnectBufExceeded):
		err = errors.New("the ledger can't be reached")
	}
	return fmt.Errorf("%s: %w", what, err)
}
