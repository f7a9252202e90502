package ledgertest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/exitgate/exitgate/internal/testkit"
)

// StartOn starts one NATS server with JetStream on a folder, which may have
// the streams of an earlier one, and returns when it can be asked. It ends with
// the test.
func StartOn(t testing.TB, store string) *Node {
	t.Helper()
	port := testkit.FreePort(t)
	n := &Node{t: t, Name: "single", URL: fmt.Sprintf("nats://127.0.0.1:%d", port), config: filepath.Join(t.TempDir(), "nats.conf")}
	text := fmt.Sprintf("server_name: single\nlisten: \"127.0.0.1:%d\"\nmax_payload: 16MB\njetstream: {store_dir: %q, sync_interval: always}\n", port, store)
	if err := os.WriteFile(n.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	n.Start()
	t.Cleanup(n.Kill)
	(&Cluster{t: t}).await("the server answers", func(ctx context.Context) bool { return n.answers(ctx) })
	return n
}
