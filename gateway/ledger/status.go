package ledger

import (
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
)

// A Status is whether the ledger can be reached.
type Status struct {
	Connected bool
	Since     time.Time
	Why       string // "" if it is connected
}

// Status returns whether the ledger can be reached, since when, and why not.
func (l *Ledger) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status
}

func (l *Ledger) setConnected() { l.setStatus(true, nil) }

// setUnreachable sets why the ledger can't be reached, or isn't used.
func (l *Ledger) setUnreachable(err error) {
	if errors.Is(err, nats.ErrReconnectBufExceeded) { // there is no connection: the error before says why
		if err = l.conn.LastError(); err == nil {
			return
		}
	}
	l.setStatus(false, err)
}

func (l *Ledger) setStatus(connected bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reached, l.unreached = connected, err
	l.updateStatus()
}

// updateStatus sets the Status by what is known of the connection and the leader. The
// lock is held.
func (l *Ledger) updateStatus() {
	connected, err := l.reached, l.unreached
	if l.leaderless != nil && (connected || isTransient(err) && l.conn.IsConnected()) { // it says more
		connected, err = false, l.leaderless
	}
	if !connected && err == nil { // not connected yet
		return
	}
	why := ""
	if err != nil {
		why = err.Error()
	}
	if l.ctx.Err() != nil || l.status.Connected == connected && l.status.Why == why {
		return
	}
	if l.status.Connected != connected {
		l.status.Since = l.options.Now()
	}
	switch {
	case connected && !l.status.Connected:
		l.logged = nil
		l.options.Log.Info("ledger connected")
	case len(l.logged) < 10 && !slices.Contains(l.logged, why): // a few reasons may take turns
		l.logged = append(l.logged, why)
		if isTransient(err) {
			l.options.Log.Warn("ledger unreachable, the last known state stays", "error", why)
		} else {
			l.options.Log.Error("ledger invalid, the last known state stays", "error", why)
		}
	}
	l.status.Connected, l.status.Why = connected, why
	if l.options.OnStatus != nil {
		l.options.OnStatus(l.status)
	}
}
