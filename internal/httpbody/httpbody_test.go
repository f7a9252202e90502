package httpbody_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/exitgate/exitgate/internal/httpbody"
)

// TestCloseUnread_answersAtOnce has clients that go on owing a body.
func TestCloseUnread_answersAtOnce(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		httpbody.CloseUnread(w, r)
		w.WriteHeader(http.StatusForbidden)
	}))
	defer server.Close()
	for _, c := range []struct {
		request string
		close   bool
	}{
		{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", false},
		{"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nsome", true},
		{"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n", true},
	} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.Copy(conn, strings.NewReader(c.request)); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(conn)
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != http.StatusForbidden || res.Close != c.close {
			t.Errorf("%q: status %d, close %t", c.request, res.StatusCode, res.Close)
		}
		if c.close {
			if _, err := io.Copy(io.Discard, r); err != nil {
				t.Errorf("%q: %v", c.request, err)
			}
		}
	}
}
