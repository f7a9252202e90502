package certs

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"time"

	"github.com/mholt/acmez/v3/acme"
)

// A DNSHook has a program make the DNS records by which an authority validates a
// name (DNS-01, RFC 8555, section 8.4). The program is called with "add" or
// "remove", the record's name, _acme-challenge.HOST without a final dot, and its
// value. "add" succeeds when the record can be seen by everybody, and "remove"
// also when there is none. Of one name there may be several records at a time.
type DNSHook struct {
	Command []string // the program with its first arguments
	Timeout time.Duration
}

// IsSet reports whether there is a program.
func (h DNSHook) IsSet() bool { return len(h.Command) > 0 }

// Present makes the record.
func (h DNSHook) Present(ctx context.Context, c acme.Challenge) error { return h.run(ctx, "add", c) }

// CleanUp removes the record.
func (h DNSHook) CleanUp(ctx context.Context, c acme.Challenge) error { return h.run(ctx, "remove", c) }

func (h DNSHook) run(ctx context.Context, verb string, c acme.Challenge) error {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	args := append(h.Command[1:len(h.Command):len(h.Command)], verb, c.DNS01TXTRecordName(), c.DNS01KeyAuthorization())
	cmd := exec.CommandContext(ctx, h.Command[0], args...)
	cmd.WaitDelay = time.Second
	output, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s %s: %w: %s", h.Command[0], verb, c.DNS01TXTRecordName(), err, lastLine(output))
	}
	return nil
}

// lastLine returns the end of what a program wrote, which most often says why it
// failed.
func lastLine(output []byte) string {
	lines := bytes.Split(bytes.TrimSpace(output), []byte("\n"))
	last := lines[len(lines)-1]
	return string(last[:min(len(last), 300)])
}
