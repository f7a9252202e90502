//go:build !integration

package ledger_test

import (
	"testing"

	"go.uber.org/goleak"
)

// process_test.go has the TestMain of test binaries that start others.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
