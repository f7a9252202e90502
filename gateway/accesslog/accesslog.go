// Package accesslog writes a line of JSON for each exchange to a file, or to standard
// output. Who records one never waits: a file that takes nothing, as its disk is slow or
// full, costs lines, which are counted.
package accesslog

import (
	"bytes"
	"cmp"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// StandardOutput is the name of the file for standard output.
const StandardOutput = "-"

// maxPending is how many bytes of lines may wait while others are being written: those
// of half a second at 20,000 requests a second.
const maxPending = 4 << 20

// flushTime is how long Close waits for what is left to be written.
const flushTime = 5 * time.Second

// Options are where a Log is written to.
type Options struct {
	// File is the name of a file, which is appended to, or of a named pipe that is read.
	// One that isn't there is made for its owner alone. "-": standard output.
	File string
	// OnLost is called with how many lines were lost. It must not block.
	OnLost func(lines int)
	Logger *slog.Logger // default: discards
}

// A Log is safe for concurrent use.
type Log struct {
	o     Options
	flush time.Duration
	wake  chan struct{} // there is something to do for write
	done  chan struct{} // write has ended

	mu      sync.Mutex // guards what follows
	pending []byte     // lines that aren't written yet
	dropped int        // lines, as they didn't fit
	reopen  bool
	closing bool
	file    *os.File

	// Of write alone.
	failing    bool
	torn       bool // the file ends within a line
	unreported int  // lines that were dropped
	reported   time.Time
}

// Open opens a Log. It must be closed.
func Open(o Options) (*Log, error) {
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	l := &Log{o: o, flush: flushTime, wake: make(chan struct{}, 1), done: make(chan struct{})}
	var err error
	if l.file, err = l.open(); err != nil {
		return nil, fmt.Errorf("%w; name a file that the gateway may write to, or make its folder", err)
	}
	go l.write()
	return l, nil
}

// Check returns why a file could not be opened, as far as can be told without making it.
// "" is none, and nothing is wrong with it.
func Check(file string) error {
	if file == "" || file == StandardOutput {
		return nil
	}
	if info, err := os.Stat(file); err == nil {
		if info.IsDir() {
			return fmt.Errorf("access log: %s is a folder; name a file", file)
		}
		return nil
	}
	if _, err := os.Stat(filepath.Dir(file)); err != nil {
		return fmt.Errorf("access log: %w; make its folder, for the gateway to write to", err)
	}
	return nil
}

// open opens the file. It doesn't wait for the reader of a pipe.
func (l *Log) open() (*os.File, error) {
	if l.o.File == StandardOutput {
		return os.Stdout, nil
	}
	f, err := os.OpenFile(l.o.File, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, fmt.Errorf("access log: %w", err)
	}
	return f, nil
}

// Record adds the line of an exchange. It is written soon, or lost.
func (l *Log) Record(e *Exchange) {
	var space [640]byte
	line := e.append(space[:0])
	l.mu.Lock()
	fits := len(l.pending)+len(line) <= maxPending && !l.closing
	if fits {
		l.pending = append(l.pending, line...)
	} else {
		l.dropped++
	}
	l.mu.Unlock()
	if !fits {
		l.o.OnLost(1)
	}
	l.signal()
}

// Reopen has what follows written to the file that has the name by then, as after
// somebody has renamed the one in use. If there can be none, that one stays in use.
func (l *Log) Reopen() {
	l.mu.Lock()
	l.reopen = l.o.File != StandardOutput
	l.mu.Unlock()
	l.signal()
}

// Close writes what is left, and closes the file. It waits for a slow one, but not for
// long. What is recorded afterwards is lost.
func (l *Log) Close() {
	l.mu.Lock()
	l.closing = true
	l.mu.Unlock()
	l.signal()
	select {
	case <-l.done:
		return
	case <-time.After(l.flush):
	}
	l.mu.Lock()
	file := l.file
	l.mu.Unlock()
	if file.SetWriteDeadline(time.Now()) == nil { // a pipe, of which a write can be ended
		<-l.done
		return
	}
	l.o.Logger.Error("the access log takes nothing: lines that were left are lost", "file", l.o.File)
}

func (l *Log) signal() {
	select {
	case l.wake <- struct{}{}:
	default: // it is looked at soon
	}
}

// write writes lines as they come, until the Log is closed.
func (l *Log) write() {
	defer close(l.done)
	var lines []byte
	for range l.wake {
		l.mu.Lock()
		lines, l.pending = l.pending, lines[:0]
		dropped, reopen, closing := l.dropped, l.reopen, l.closing
		l.dropped, l.reopen = 0, false
		l.mu.Unlock()
		if reopen {
			l.swap()
		}
		l.append(lines)
		l.unreported += dropped
		l.report()
		if closing {
			l.close()
			return
		}
	}
}

// swap opens the file again.
func (l *Log) swap() {
	next, err := l.open()
	if err != nil {
		l.o.Logger.Error("the access log could not be opened again; it goes on in the file that it had", "error", err)
		return
	}
	l.close()
	l.mu.Lock()
	l.file = next
	l.mu.Unlock()
	l.torn = false
	l.o.Logger.Info("the access log was opened again", "file", l.o.File)
}

func (l *Log) close() {
	if l.o.File == StandardOutput {
		return
	}
	if err := l.file.Close(); err != nil { // of some file systems it is where a write fails
		l.o.Logger.Error("the access log could not be written", "error", err)
	}
}

// append writes lines to the file. A line that was only written in part is ended before
// the next one, so that it spoils no other.
func (l *Log) append(lines []byte) {
	if len(lines) == 0 {
		return
	}
	var err error
	if l.torn {
		_, err = l.file.Write([]byte("\n"))
		l.torn = err != nil
	}
	n := 0
	if err == nil {
		n, err = l.file.Write(lines)
		l.torn = n > 0 && lines[n-1] != '\n'
	}
	lost := bytes.Count(lines[n:], []byte("\n"))
	switch {
	case err != nil:
		l.o.OnLost(lost)
		if !l.failing {
			l.o.Logger.Error("the access log can't be written: lines are lost", "error", err, "advice", "make room on its disk, and let the gateway write there")
		}
	case l.failing:
		l.o.Logger.Info("the access log is written again", "file", l.o.File)
	}
	l.failing = err != nil
}

// reportPause is how long nothing more is said of a slow file.
const reportPause = time.Minute

// report says that lines were dropped, as those before them weren't written in time.
func (l *Log) report() {
	if l.unreported == 0 || time.Since(l.reported) < reportPause {
		return
	}
	l.o.Logger.Warn("the access log isn't written as fast as requests come: lines are lost", "file", l.o.File, "lost", l.unreported)
	l.unreported, l.reported = 0, time.Now()
}
