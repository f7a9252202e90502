package source

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/exitgate/exitgate/gateway/statedir"
	"github.com/exitgate/exitgate/internal/testkit"
)

// TestReplicaOfAnEarlierCommitIsRestored starts on data folders as commit 803cf21 wrote
// them, with the ledger out of reach, and writes what that commit can read.
func TestReplicaOfAnEarlierCommitIsRestored(t *testing.T) {
	for _, name := range []string{"embedded", "cluster"} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, newStream())
			m.dir = statedir.Dir(filepath.Join(testkit.Unpack(t, "803cf21/"+name+".tar.gz"), name))
			m.remote = true
			m.stream.fail(errors.New("gone"))
			before, err := os.ReadFile(m.dir.Replica())
			if err != nil {
				t.Fatal(err)
			}
			r := m.mustStart()
			m.expectApplied(string(testkit.Written(t, "803cf21/"+name+"/policy.yaml")))
			if len(r.State().Principals()) == 0 {
				t.Error("the principals are gone")
			}
			r.save(r.state.Load())
			after, err := os.ReadFile(m.dir.Replica())
			if err != nil || string(after) != string(before) {
				t.Errorf("%v; it is saved as\n%s\nand was\n%s", err, after, before)
			}
		})
	}
}
