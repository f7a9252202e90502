package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	maxStreams    = 250     // open at a time, and handlers that run
	initialWindow = 1 << 20 // of a connection and of each stream, for what the client sends
	// beginTimeout is how long a client may take to begin, and to see that the gateway
	// takes its leave.
	beginTimeout = 10 * time.Second
	leaveTimeout = time.Second
	// lingerBytes is how much of what a client still sends is read when the connection
	// ends by an error, so that the client can read why.
	lingerBytes = 1 << 20

	lowestWindow = 65535 // that all connections begin with
)

// leaving is how far a connection is on its way to its end (RFC 9113, section 6.8).
type leaving int

const (
	staying   leaving = iota
	announced         // the client was told to begin no more streams
	left              // those that have begun by then are the last
)

// resets are the streams that were reset from here last. What was on its way then is
// ignored (RFC 9113, section 5.1).
type resets struct {
	ids  [64]uint32
	next int
}

func (r *resets) add(id uint32) {
	r.ids[r.next] = id
	r.next = (r.next + 1) % len(r.ids)
}

func (r *resets) have(id uint32) bool { return slices.Contains(r.ids[:], id) }

// conn is a connection. One goroutine reads.
type conn struct {
	engine  *engine
	net     net.Conn
	tls     *tls.ConnectionState // nil: there is none
	handler http.Handler
	ctx     context.Context
	remote  string
	in      io.Reader
	framer  *http2.Framer     // of in
	names   map[string]string // canonical ones of fields, by those that were received

	mu      sync.Mutex // guards what follows
	changed sync.Cond  // a window, the room for output, a stream's end

	out         output
	streams     map[uint32]*stream
	running     int    // handlers
	last        uint32 // the highest stream that has begun
	resets      resets
	leaving     leaving
	send        sendWindow
	initialSend int64 // that streams begin with
	receive     receiveWindow
	budgets     budgets
	unacked     int   // SETTINGS that the client hasn't acknowledged
	err         error // why it has ended; nil: it hasn't
	idleSince   time.Time
	timers      []*time.Timer
}

func newConn(ctx context.Context, e *engine, nc net.Conn, state *tls.ConnectionState, h http.Handler) *conn {
	var r io.Reader = nc
	if state == nil { // TLS has a buffer of its own
		r = bufio.NewReader(nc)
	}
	c := &conn{
		engine: e, net: nc, tls: state, handler: h, ctx: ctx, remote: nc.RemoteAddr().String(),
		in: r, framer: http2.NewFramer(io.Discard, r), names: make(map[string]string),
		streams: make(map[uint32]*stream), send: sendWindow(lowestWindow), initialSend: int64(lowestWindow),
		receive: newReceiveWindow(initialWindow), budgets: newBudgets(time.Now()), idleSince: time.Now(),
	}
	c.changed.L = &c.mu
	c.framer.SetReuseFrames()
	c.framer.SetMaxReadFrameSize(maxFrame)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.framer.MaxHeaderListSize = e.maxHeaderListSize()
	return c
}

// An abuseError ends a connection whose client has spent a budget.
type abuseError Abuse

func (e abuseError) Error() string { return "too many " + string(e) }

// serve reads until the connection is to be closed.
func (c *conn) serve() {
	err := c.begin()
	for err == nil {
		err = c.readFrame()
	}
	c.end(err)
}

// begin exchanges the prefaces (RFC 9113, section 3.4).
func (c *conn) begin() error {
	c.mu.Lock()
	c.unacked = 1
	c.appendOutput(func(b []byte) []byte {
		b = appendSettings(b,
			http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: maxStreams},
			http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: c.framer.MaxHeaderListSize},
			http2.Setting{ID: http2.SettingInitialWindowSize, Val: initialWindow},
		)
		return appendWindowUpdate(b, 0, initialWindow-lowestWindow)
	})
	c.kick()
	if limit := c.engine.server.IdleTimeout; limit > 0 {
		c.after(limit, func(t *time.Timer) { c.checkIdle(t, limit) })
	}
	c.mu.Unlock()

	if err := c.net.SetReadDeadline(time.Now().Add(beginTimeout)); err != nil {
		return err
	}
	if c.tls != nil { // else net/http has read it, to know that this is HTTP/2
		preface := make([]byte, len(http2.ClientPreface))
		if _, err := io.ReadFull(c.in, preface); err != nil {
			return err
		}
		if string(preface) != http2.ClientPreface {
			return http2.ConnectionError(http2.ErrCodeProtocol)
		}
	}
	f, err := c.framer.ReadFrame()
	if err != nil {
		return err
	}
	if s, ok := f.(*http2.SettingsFrame); !ok || s.IsAck() {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	if err := c.net.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	return c.process(f)
}

// after runs f later, unless the connection has ended by then. c.mu is held.
func (c *conn) after(d time.Duration, f func(*time.Timer)) {
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.err == nil {
			f(t)
		}
	})
	c.timers = append(c.timers, t)
}

// readFrame reads a frame and does what it says. Its error ends the connection.
func (c *conn) readFrame() error {
	f, err := c.framer.ReadFrame()
	if err == nil {
		err = c.process(f)
	}
	var of http2.StreamError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &of):
		return c.rejectStream(of)
	case errors.Is(err, http2.ErrFrameTooLarge):
		return http2.ConnectionError(http2.ErrCodeFrameSize)
	}
	return err
}

// rejectStream resets a stream by an error of the client's.
func (c *conn) rejectStream(of http2.StreamError) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if of.StreamID > c.last && of.StreamID%2 == 1 {
		c.last = of.StreamID
	}
	if st := c.streams[of.StreamID]; st != nil {
		c.reset(st, of.Code, errMalformed)
	} else {
		c.resets.add(of.StreamID)
		c.appendOutput(func(b []byte) []byte { return appendReset(b, of.StreamID, of.Code) })
		c.kick()
	}
	if !c.budgets.resets.spend(time.Now()) { // "MadeYouReset", CVE-2025-8671
		return abuseError(Resets)
	}
	return nil
}

// end ends the connection.
func (c *conn) end(err error) {
	code, says := http2.ErrCodeNo, true
	var connection http2.ConnectionError
	var abuse abuseError
	switch {
	case errors.As(err, &connection):
		code = http2.ErrCode(connection)
		c.engine.logf("http2: server connection error: %v", err)
	case errors.As(err, &abuse):
		code = http2.ErrCodeEnhanceYourCalm
		c.engine.onAbuse(Abuse(abuse))
	default:
		says = false // the client has closed it, or the gateway
	}
	c.mu.Lock()
	if says && c.err == nil {
		c.appendOutput(func(b []byte) []byte { return appendGoAway(b, c.last, code) })
		c.kick()
		for c.err == nil && (c.out.writing || len(c.out.pending) > 0) {
			c.changed.Wait()
		}
	}
	lingers := says && c.err == nil
	c.fail(errEnded)
	for _, t := range c.timers {
		t.Stop()
	}
	c.mu.Unlock()
	if lingers {
		// A connection that is closed with something unread is reset, and what was
		// sent lost.
		_ = c.net.SetReadDeadline(time.Now().Add(leaveTimeout))
		_, _ = io.CopyN(io.Discard, c.net, lingerBytes)
	}
}

// fail ends all streams, and the reading. c.mu is held.
func (c *conn) fail(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	for _, st := range c.streams {
		c.drop(st, errEnded)
	}
	if c.out.pending != nil {
		giveBackOutput(c.out.pending)
		c.out.pending = nil
	}
	c.changed.Broadcast()
	c.stopReading()
}

func (c *conn) stopReading() { _ = c.net.SetReadDeadline(time.Unix(1, 0)) }

// shutDown ends the connection once its streams have ended, in two steps: a request that
// is on its way when the first is taken is still served.
func (c *conn) shutDown() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.leaving != staying {
		return
	}
	c.leaving = announced
	c.appendOutput(func(b []byte) []byte {
		b = appendGoAway(b, maxWindow, http2.ErrCodeNo)
		return appendPing(b, 0, leavingPing)
	})
	c.kick()
	c.after(leaveTimeout, func(*time.Timer) { c.leave() })
}

// leavingPing is the PING whose answer says that the client has read the GOAWAY before it.
var leavingPing = [8]byte{'l', 'e', 'a', 'v', 'i', 'n', 'g'}

// leave takes the second step. c.mu is held.
func (c *conn) leave() {
	if c.leaving == left {
		return
	}
	c.leaving = left
	c.appendOutput(func(b []byte) []byte { return appendGoAway(b, c.last, http2.ErrCodeNo) })
	c.kick()
}

// closeIfDone stops reading if the connection is left and nothing is under way. c.mu is
// held.
func (c *conn) closeIfDone() {
	if c.leaving == left && len(c.streams) == 0 && c.running == 0 && !c.out.writing && len(c.out.pending) == 0 {
		c.stopReading()
	}
}

// checkIdle leaves the connection if it has been idle for as long as it may, or comes
// again when that may be. c.mu is held.
func (c *conn) checkIdle(t *time.Timer, limit time.Duration) {
	remaining := limit
	if len(c.streams) == 0 && c.running == 0 {
		remaining -= time.Since(c.idleSince)
	}
	if remaining <= 0 {
		c.leave()
		return
	}
	t.Reset(remaining)
}

// process does what a frame says. A http2.StreamError resets its stream; any other error
// ends the connection.
func (c *conn) process(f http2.Frame) error {
	if f, ok := f.(*http2.MetaHeadersFrame); ok {
		return c.processHeaders(f)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch f := f.(type) {
	case *http2.DataFrame:
		return c.processData(f)
	case *http2.WindowUpdateFrame:
		return c.processWindowUpdate(f)
	case *http2.SettingsFrame:
		return c.processSettings(f)
	case *http2.PingFrame:
		return c.processPing(f)
	case *http2.RSTStreamFrame:
		return c.processReset(f)
	case *http2.PriorityFrame:
		if f.StreamDep == f.StreamID {
			return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeProtocol}
		}
		return c.spendIdle() // it is ignored (RFC 9113, section 5.3.2)
	case *http2.GoAwayFrame:
		return c.spendIdle() // the client closes when it has its answers
	case *http2.PushPromiseFrame:
		return http2.ConnectionError(http2.ErrCodeProtocol)
	default: // unknown ones are ignored (RFC 9113, section 4.1)
		return c.spendIdle()
	}
}

func (c *conn) spendIdle() error {
	if !c.budgets.idle.spend(time.Now()) {
		return abuseError(Idle)
	}
	return nil
}

// isIdle reports whether a stream has not begun (RFC 9113, section 5.1).
func (c *conn) isIdle(id uint32) bool { return id%2 == 0 || id > c.last }

func (c *conn) processData(f *http2.DataFrame) error {
	id, size, data := f.StreamID, int64(f.Length), f.Data()
	if c.isIdle(id) {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	if !c.receive.take(size) {
		return http2.ConnectionError(http2.ErrCodeFlowControl)
	}
	if len(data) == 0 && !f.StreamEnded() {
		if err := c.spendIdle(); err != nil {
			return err
		}
	}
	st := c.streams[id]
	if st == nil || st.remoteDone {
		c.giveBack(int(size))
		if c.resets.have(id) {
			return c.spendIdle()
		}
		return http2.StreamError{StreamID: id, Code: http2.ErrCodeStreamClosed}
	}
	b := st.body
	isMore := b.declared >= 0 && b.received+int64(len(data)) > b.declared
	isLess := f.StreamEnded() && b.declared >= 0 && b.received+int64(len(data)) < b.declared
	switch {
	case !b.window.take(size):
		c.giveBack(int(size))
		return http2.StreamError{StreamID: id, Code: http2.ErrCodeFlowControl}
	case isMore, isLess: // RFC 9113, section 8.1.1
		c.giveBack(int(size))
		return http2.StreamError{StreamID: id, Code: http2.ErrCodeProtocol}
	}
	b.receive(data, int(size)-len(data))
	if f.StreamEnded() {
		b.end(io.EOF)
		c.endRemote(st)
		c.closeIfDone()
	}
	return nil
}

// giveBack widens the connection's window by what was read. c.mu is held.
func (c *conn) giveBack(n int) {
	if update := c.receive.give(int64(n)); update > 0 && c.err == nil {
		c.appendOutput(func(b []byte) []byte { return appendWindowUpdate(b, 0, update) })
		c.kick()
	}
}

func (c *conn) processWindowUpdate(f *http2.WindowUpdateFrame) error {
	if err := c.spendIdle(); err != nil {
		return err
	}
	if f.StreamID == 0 {
		if !c.send.add(int64(f.Increment)) {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
		c.changed.Broadcast()
		return nil
	}
	if c.isIdle(f.StreamID) {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	if st := c.streams[f.StreamID]; st != nil {
		if !st.send.add(int64(f.Increment)) {
			return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeFlowControl}
		}
		c.changed.Broadcast()
	}
	return nil
}

func (c *conn) processSettings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		if c.unacked--; c.unacked < 0 {
			return http2.ConnectionError(http2.ErrCodeProtocol)
		}
		return nil
	}
	if !c.budgets.settings.spend(time.Now()) {
		return abuseError(Settings)
	}
	if err := f.ForeachSetting(c.processSetting); err != nil {
		return err
	}
	c.appendOutput(appendSettingsAck)
	c.kick()
	c.changed.Broadcast()
	return nil
}

func (c *conn) processSetting(s http2.Setting) error {
	if err := s.Valid(); err != nil {
		return err
	}
	switch s.ID {
	case http2.SettingHeaderTableSize:
		c.out.emptyTable = true
	case http2.SettingInitialWindowSize:
		by := int64(s.Val) - c.initialSend
		c.initialSend = int64(s.Val)
		for _, st := range c.streams {
			if !st.send.add(by) {
				return http2.ConnectionError(http2.ErrCodeFlowControl)
			}
		}
	}
	return nil
}

func (c *conn) processPing(f *http2.PingFrame) error {
	if f.IsAck() {
		if f.Data == leavingPing && c.leaving == announced {
			c.leave()
		}
		return nil
	}
	if !c.budgets.pings.spend(time.Now()) {
		return abuseError(Pings)
	}
	c.appendOutput(func(b []byte) []byte { return appendPing(b, http2.FlagPingAck, f.Data) })
	c.kick()
	return nil
}

func (c *conn) processReset(f *http2.RSTStreamFrame) error {
	if c.isIdle(f.StreamID) {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	if st := c.streams[f.StreamID]; st != nil {
		c.drop(st, errReset)
		c.closeIfDone()
	}
	if !c.budgets.resets.spend(time.Now()) { // "Rapid Reset", CVE-2023-44487
		return abuseError(Resets)
	}
	return nil
}

// processHeaders begins a stream, or ends a request with its trailers.
func (c *conn) processHeaders(f *http2.MetaHeadersFrame) error {
	id := f.StreamID
	if id%2 == 0 {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	c.mu.Lock()
	st, isNew, ignored := c.streams[id], id > c.last, id > c.last && c.leaving == left
	if isNew {
		c.last = id
	}
	if ignored {
		c.resets.add(id) // what follows is ignored, too
	}
	wasReset := c.resets.have(id)
	isFull := len(c.streams) >= maxStreams || c.running >= maxStreams
	c.mu.Unlock()
	switch {
	case ignored: // it is above the last one of GOAWAY
		return nil
	case st != nil:
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.processTrailers(st, f)
	case wasReset:
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.spendIdle()
	case !isNew: // RFC 9113, section 5.1.1
		return http2.ConnectionError(http2.ErrCodeProtocol)
	case isFull:
		return http2.StreamError{StreamID: id, Code: http2.ErrCodeRefusedStream}
	case f.HasPriority() && f.Priority.StreamDep == id:
		return http2.StreamError{StreamID: id, Code: http2.ErrCodeProtocol}
	}
	return c.beginStream(f)
}

// beginStream runs the handler of a request.
func (c *conn) beginStream(f *http2.MetaHeadersFrame) error {
	r, err := c.newRequest(f)
	if err != nil {
		return err
	}
	handler := c.handler
	if f.Truncated {
		handler = http.HandlerFunc(answerTooLarge)
	}
	waits := takeExpectation(r.Header)
	ctx, cancel := context.WithCancel(c.ctx)
	r = r.WithContext(ctx)
	st := &stream{id: f.StreamID, cancel: cancel, remoteDone: f.StreamEnded()}
	if !st.remoteDone {
		st.body = &requestBody{c: c, st: st, request: r, window: newReceiveWindow(initialWindow), declared: r.ContentLength}
		st.body.ready.L = &c.mu
		st.body.continueDue = waits
		r.Body = st.body
	}
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		cancel()
		return c.err
	}
	st.send = sendWindow(c.initialSend)
	if limit := c.engine.server.WriteTimeout; limit > 0 {
		st.writeDeadline = time.Now().Add(limit)
	}
	c.streams[st.id] = st
	c.running++
	c.mu.Unlock()
	c.engine.workers.run(job{c, st, handler, r})
	return nil
}

// processTrailers ends a request (RFC 9113, section 8.1). c.mu is held.
func (c *conn) processTrailers(st *stream, f *http2.MetaHeadersFrame) error {
	switch {
	case st.remoteDone:
		return http2.StreamError{StreamID: st.id, Code: http2.ErrCodeStreamClosed}
	case !f.StreamEnded(), len(f.PseudoFields()) > 0, f.Truncated:
		return http2.StreamError{StreamID: st.id, Code: http2.ErrCodeProtocol}
	case st.body.declared >= 0 && st.body.received != st.body.declared:
		return http2.StreamError{StreamID: st.id, Code: http2.ErrCodeProtocol}
	}
	st.body.trailer = make(http.Header)
	for _, field := range f.RegularFields() {
		name := http.CanonicalHeaderKey(field.Name)
		if !mayBeTrailer(name) {
			return http2.StreamError{StreamID: st.id, Code: http2.ErrCodeProtocol}
		}
		st.body.trailer[name] = append(st.body.trailer[name], field.Value)
	}
	st.body.end(io.EOF)
	c.endRemote(st)
	c.closeIfDone()
	return nil
}
