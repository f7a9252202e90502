package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// What gateways may say to each other.
const (
	MaxMessage = 1 << 20 // bytes of a question or an answer
	MaxReplies = 1000

	maxAllAnswers = 64 << 20               // bytes
	silence       = 150 * time.Millisecond // after it no more answers are waited for
	patience      = time.Second            // how long a question is waited for at all
)

func (l *Ledger) topic(topic string) (subject string, err error) {
	if topic == "" || strings.ContainsAny(topic, " \t\r\n.*>") {
		return "", fmt.Errorf("the topic %q: it can't be empty, and spaces and any of . * > can't be in it", topic)
	}
	return l.options.Name + ".ask." + topic, nil
}

// Respond answers the questions of a topic, those of this gateway as well as of
// others, until Close. Questions are answered one at a time. The context ends
// when nobody waits any more. An answer of more than [MaxMessage] is not sent.
func (l *Ledger) Respond(topic string, answer func(ctx context.Context, question []byte) []byte) error {
	subject, err := l.topic(topic)
	if err != nil {
		return err
	}
	asked, err := l.conn.Subscribe(subject, func(question *nats.Msg) {
		if len(question.Data) > MaxMessage || question.Reply == "" || !l.begin() {
			return
		}
		defer l.answers.Done()
		ctx, cancel := context.WithTimeout(l.ctx, patience)
		defer cancel()
		text := answer(ctx, question.Data)
		if len(text) > MaxMessage {
			l.options.Log.Error("an answer to another gateway is too long to be sent", "topic", topic, "bytes", len(text), "limit", MaxMessage)
			return
		}
		if err := question.Respond(text); err != nil && l.ctx.Err() == nil {
			l.options.Log.Warn("an answer to another gateway can't be sent", "topic", topic, "error", err)
		}
	})
	if err == nil {
		err = asked.SetPendingLimits(MaxReplies, 16*MaxMessage)
	}
	if err != nil {
		return l.failed("answer "+topic, err)
	}
	return nil
}

// begin says whether an answer may still be worked out: Close waits for it.
func (l *Ledger) begin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		return false
	}
	l.answers.Add(1)
	return true
}

// Query asks all gateways that answer a topic, this one among them if it does,
// and returns what they answer, in no order: there may be no answer at all. It
// waits until none came for 150 ms, for a second at the most, and not at all
// where there are no other gateways. An error says that the question wasn't
// asked, or that the waiting was cut short: by the context, Close or a lost
// connection. The answers that came until then are returned with it. Whoever
// may write to the topic's subject can answer: what an answer says is for the
// caller to check.
func (l *Ledger) Query(ctx context.Context, topic string, question []byte) (answers [][]byte, err error) {
	subject, err := l.topic(topic)
	if err != nil {
		return nil, err
	}
	if len(question) > MaxMessage {
		return nil, fmt.Errorf("ask %s: the question has %d bytes: the limit is %d", topic, len(question), MaxMessage)
	}
	ctx, release := l.until(ctx)
	defer release()
	err = l.onLine(ctx, func(ctx context.Context) error {
		inbox := l.conn.NewInbox()
		replies, err := l.conn.SubscribeSync(inbox)
		if err != nil {
			return err
		}
		defer func() { _ = replies.Unsubscribe() }() // fails only if the connection is closed
		if err := replies.SetPendingLimits(MaxReplies, maxAllAnswers); err != nil {
			return err
		}
		if err := l.conn.PublishRequest(subject, inbox, question); err != nil {
			return err
		}
		answers, err = l.collect(ctx, replies)
		return err
	})
	if err != nil {
		err = l.failed("ask "+topic, err)
	}
	return answers, err
}

// collect takes answers until it is clear that all are in.
func (l *Ledger) collect(ctx context.Context, replies *nats.Subscription) (answers [][]byte, err error) {
	whole, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for size := 0; len(answers) < MaxReplies; {
		if l.server != nil && len(answers) == 1 {
			break // nobody else can be asked
		}
		waiting, cancel := context.WithTimeout(whole, silence)
		m, err := replies.NextMsgWithContext(waiting)
		cancel()
		switch {
		case err == nil && len(m.Data) > MaxMessage, errors.Is(err, nats.ErrSlowConsumer):
			continue // what is too much is left out
		case errors.Is(err, nats.ErrNoResponders), err != nil && waiting.Err() != nil:
			return answers, ctx.Err()
		case err != nil:
			return answers, err
		}
		if size += len(m.Data); size > maxAllAnswers {
			break
		}
		answers = append(answers, m.Data)
	}
	return answers, nil
}

func (l *Ledger) failed(what string, err error) error {
	switch {
	case l.ctx.Err() != nil:
		err = ErrClosed
	case errors.Is(err, nats.ErrReconnectBufExceeded):
		err = errors.New("the ledger can't be reached")
	}
	return fmt.Errorf("%s: %w", what, err)
}
