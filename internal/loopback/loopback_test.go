package loopback_test

import (
	"testing"

	"github.com/exitgate/exitgate/internal/loopback"
)

func TestIsHost(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LocalHost": true, "127.0.0.1": true, "127.9.9.9": true, "::1": true, "::ffff:127.0.0.1": true,
		"": false, "localhost.example": false, "128.0.0.1": false, "127.0.0.1:80": false, "[::1]": false, "0.0.0.0": false,
	} {
		if loopback.IsHost(host) != want {
			t.Errorf("%q: want %t", host, want)
		}
	}
}
