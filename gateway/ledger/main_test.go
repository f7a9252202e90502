//go:build !integration

package ledger_test

import (
	"testing"
)

// process_test.go has the TestMain of test binaries that start others.
func TestMain(m *testing.M) { verifyNoLeak(m) }
