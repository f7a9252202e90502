package ledger_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/internal/testkit"
)

// TestLedger_writtenBy803cf21 opens the ledgers that commit 803cf21 has
// written, and compares them with what that commit reported.
func TestLedger_writtenBy803cf21(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		folder := testkit.Unpack(t, "803cf21/embedded.tar.gz")
		checkWritten(t, "803cf21/embedded", ledger.Options{Folder: filepath.Join(folder, "embedded", "ledger")})
	})
	t.Run("cluster", func(t *testing.T) {
		server := alone(t, filepath.Join(testkit.Unpack(t, "803cf21/cluster.tar.gz"), "nats"), -1)
		checkWritten(t, "803cf21/cluster", elsewhere(server.ClientURL()))
	})
}

// checkWritten opens a ledger, reads and verifies it, and adds to it.
func checkWritten(t *testing.T, recorded string, o ledger.Options) {
	t.Helper()
	recordedReport := testkit.WrittenJSON[struct {
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
	if err != nil || report.Records != recordedReport.Records || report.Last.Hash.String() != recordedReport.Hash || len(report.Invalid) > 0 || !recordedReport.OK {
		t.Errorf("it is verified as %+v, %v, and was as %+v", report, err, recordedReport)
	}
	before := report
	next := add(t, l, report.Last, "more")[0]
	if report, err = l.Verify(within(t), nil); err != nil || report.Records != before.Records+1 || report.Last != next.Point() || len(report.Invalid) > 0 {
		t.Errorf("with another record, it is verified as %+v, %v", report, err)
	}
}
