package gateway_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/exitgate/exitgate/gateway"
)

func TestASettingThatChangesOpensNoMarket(t *testing.T) {
	data := t.TempDir()
	in := func(c *gateway.Config) { c.Data = data }

	first := start(t, setup{configure: in})
	if a := first.request(first.client(1), "/", mississippi); a.status != 200 {
		t.Fatalf("by the ledger it gets %d", a.status)
	}
	first.stop()

	second := start(t, setup{configure: in, policy: twoRefused})
	if a := second.request(second.client(1), "/", mississippi); a.status != 451 {
		t.Fatalf("by the file it gets %d", a.status)
	}
	noted := filepath.Join(data, "schedule.json")
	eventually(t, "where the policy is from is noted", func() bool {
		text, _ := os.ReadFile(noted)
		return strings.Contains(string(text), second.policy)
	})
	second.stop()

	for range 2 {
		_, err := tryStart(t, setup{configure: in})
		want := "this gateway went by " + second.policy + " last, and revision 1 of the ledger would open what that withdrew: " +
			"go on with the file; or, where no traffic goes, remove " + noted + ", start the gateway and exitgate apply " + second.policy
		if err == nil || err.Error() != want {
			t.Fatalf("then it says %v\nwant %s", err, want)
		}
	}

	if err := os.Remove(noted); err != nil {
		t.Fatal(err)
	}
	third := start(t, setup{configure: in})
	if a := third.request(third.client(1), "/", mississippi); a.status != 200 {
		t.Errorf("by the ledger again it gets %d", a.status)
	}
}
