package statedir_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/statedir"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
)

// TestAFolderOfAnEarlierCommitIsRead reads the data folders that commit 803cf21
// has written.
func TestAFolderOfAnEarlierCommitIsRead(t *testing.T) {
	for name, fromFile := range map[string]string{"embedded": "", "cluster": "", "file": "policy.yaml"} {
		t.Run(name, func(t *testing.T) {
			dir, err := statedir.Open(filepath.Join(testkit.Unpack(t, "803cf21/"+name+".tar.gz"), name))
			if err != nil {
				t.Fatal(err)
			}
			want := testkit.Written(t, "803cf21/"+name+"/policy.yaml")
			if got, err := dir.ReadLastGood(); err != nil || string(got) != string(want) {
				t.Errorf("the last good policy is %q, %v", got, err)
			}
			at := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
			if digest, got, steps := dir.LastMoment(); digest != policy.Digest(want) || !got.Equal(at) || steps != "" {
				t.Errorf("the last moment is %s of %s, want %s", got, digest, at)
			}
			if _, file := dir.LastFilePolicy(); file != fromFile {
				t.Errorf("the policy came from the file %q, want %q", file, fromFile)
			}
			if content, err := dir.ReadReplica(); fromFile == "" && (err != nil || len(content) == 0) {
				t.Errorf("the replica of the ledger: %q, %v", content, err)
			}
		})
	}
}
