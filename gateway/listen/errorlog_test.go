package listen

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/internal/testkit"
)

func TestAddressesAreTakenOutOfALine(t *testing.T) {
	for text, want := range map[string]string{
		"":         "",
		"no hands": "no hands",
		"http2: server connection error from 192.0.2.7:4711: connection error: PROTOCOL_ERROR": "http2: server connection error from … connection error: PROTOCOL_ERROR",
		"read tcp 127.0.0.1:8443->[2001:db8::7]:4711: i/o timeout":                             "read tcp …->… i/o timeout",
		"from 2001:db8::7, and from 192.0.2.7.":                                                "from …, and from …",
		"[::ffff:192.0.2.7]:1":                                                                 "…",
		"fe80::1%eth0 and [fe80::1%eth0]:80":                                                   "…th0 and …th0]:80",
		"192.0.2.7192.0.2.8":                                                                   "192.0.2.7192.0.2.8",
		"(192.0.2.7)":                                                                          "(…)",
		"x=192.0.2.7;y=::1":                                                                    "x=…;y=…",
		"version 1.26.8 at 12:30:05, error 0x8":                                                "version 1.26.8 at 12:30:05, error 0x8",
		"a: bad: dead: cafe.":                                                                  "a: bad: dead: cafe.",
		"192.0.2.7\n192.0.2.8":                                                                 "…\n…",
		"...192.0.2.7:::":                                                                      "…",
	} {
		if got := withoutAddresses(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

// C15: whatever clients send, it is counted, and one line a minute says so.
func TestWhatClientsSendIsCountedAndNotLogged(t *testing.T) {
	var logged testkit.Buffer
	clock := testkit.NewClock(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC))
	handshakes, connections := 0, 0
	l := ErrorLog(ErrorLogOptions{
		Log: slog.New(slog.NewTextHandler(&logged, nil)), Now: clock.Now,
		OnHandshakeError: func() { handshakes++ }, OnConnectionError: func() { connections++ },
	})
	for range 1000 {
		l.Print(`http2: server: error reading preface from client 192.0.2.7:4711: bogus greeting "chosen words"`)
		l.Print("http: TLS handshake error from 192.0.2.7:4711: chosen words")
	}
	clock.Set(clock.Now().Add(errorLogPause))
	l.Print("whatever: chosen words")
	l.Print("http: Accept error: accept tcp 192.0.2.7:443: too many open files; retrying in 5ms")
	if handshakes != 1000 || connections != 1001 {
		t.Errorf("counted %d handshakes, %d connections", handshakes, connections)
	}
	text := logged.String()
	if strings.Count(text, "\n") != 3 || strings.Contains(text, "chosen") || strings.Contains(text, "192.0.2.7") ||
		len(logged.Lines("since_last=1000")) != 1 || len(logged.Lines("too many open files")) != 1 {
		t.Errorf("logged:\n%s", text)
	}
}

func FuzzWithoutAddresses(f *testing.F) {
	f.Add("http: ", "192.0.2.7", " said: ")
	f.Add("[", "2001:db8::7", "]:443: reset")
	f.Add("from ", "::ffff:192.0.2.7", ":80")
	f.Add("0", "192.0.2.7", "0")
	f.Add("f", "2001:db8::7", ":")
	f.Fuzz(func(t *testing.T, before, address, after string) {
		ip, err := netip.ParseAddr(address)
		if err != nil || ip.Zone() != "" {
			return
		}
		// As net/http puts it: with something between it and other words.
		for _, text := range []string{ip.String(), netip.AddrPortFrom(ip, 4711).String()} {
			line := before + " " + text + ": " + after
			// A line that has the address elsewhere, as part of another word,
			// is none of net/http's.
			if strings.Contains(before+"|"+after, ip.String()) {
				return
			}
			if got := withoutAddresses(line); strings.Contains(got, " "+text) {
				t.Errorf("%q becomes %q", line, got)
			}
		}
	})
}
