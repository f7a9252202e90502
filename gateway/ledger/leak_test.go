package ledger_test

import (
	"testing"

	"go.uber.org/goleak"
)

// verifyNoLeak runs the tests, and fails if a goroutine outlives them; but for those
// of toxiproxy, which stands between the tests and NATS: it leaves some behind when
// a connection ends while it passes on what was sent.
func verifyNoLeak(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"))
}
