package ledger_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/gateway/ledger/ledgertest"
	"github.com/exitgate/exitgate/internal/testkit"
)

// TestALedgerOfAnEarlierCommitIsRead opens the ledgers that commit 803cf21 has
// written, and holds them against what it said of them.
func TestALedgerOfAnEarlierCommitIsRead(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		folder := testkit.Unpack(t, "803cf21/embedded.tar.gz")
		checkWritten(t, "803cf21/embedded", ledger.Options{Folder: filepath.Join(folder, "embedded", "ledger")})
	})
	t.Run("cluster", func(t *testing.T) {
		server := ledgertest.StartOn(t, filepath.Join(testkit.Unpack(t, "803cf21/cluster.tar.gz"), "nats"))
		checkWritten(t, "803cf21/cluster", ledger.Options{Cluster: &ledger.Cluster{URLs: []string{server.URL}, Replicas: 1}})
	})
}

// checkWritten opens a ledger, reads and verifies it, and adds to it.
func checkWritten(t *testing.T, recorded string, o ledger.Options) {
	t.Helper()
	said := testkit.WrittenJSON[struct {
		OK            bool
		Records, Last int
		Hash          string
	}](t, recorded+"/verify.json")[0]
	log := testkit.WrittenJSON[struct {
		Records []struct {
			Number                      uint64
			Time, Kind, Author, Because string
			Hash                        string
		}
	}](t, recorded+"/log.json")[0]
	var want, got []string
	for _, r := range slices.Backward(log.Records) { // the newest is first
		want = append(want, fmt.Sprintln(r.Number, r.Time, r.Kind, r.Author, r.Because, r.Hash))
	}

	l := open(t, o)
	for r, err := range l.History(within(t), ledger.Point{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintln(r.Number, r.Time.Format("2006-01-02T15:04:05Z07:00"), r.Kind, r.Author, r.Reason, r.Hash))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the records (-recorded +now)\n%s", diff)
	}
	report, err := l.Verify(within(t), nil)
	if err != nil || report.Records != said.Records || report.Last.Hash.String() != said.Hash || len(report.Invalid) > 0 || !said.OK {
		t.Errorf("it is verified as %+v, %v, and was as %+v", report, err, said)
	}
	before := report
	next := add(t, l, report.Last, "more")[0]
	if report, err = l.Verify(within(t), nil); err != nil || report.Records != before.Records+1 || report.Last != next.Point() || len(report.Invalid) > 0 {
		t.Errorf("with another record, it is verified as %+v, %v", report, err)
	}
}
