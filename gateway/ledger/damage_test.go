package ledger_test

import (
	"fmt"
	"log/slog"
	"os"
	"testing"

	"github.com/exitgate/exitgate/gateway/ledger"
)

func TestExperiment(t *testing.T) {
	for _, restart := range []string{"no", "clean", "killed"} {
		folder := t.TempDir()
		log := slog.New(slog.NewTextHandler(os.Stderr, nil))
		l, err := ledger.Open(t.Context(), ledger.Options{Folder: folder, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		var after ledger.Point
		for i := range 10 {
			r := add(t, l, after, fmt.Sprintf("body-%d", i))[0]
			after = r.Point()
		}
		switch restart {
		case "no":
			alter(t, folder, "body-4")
		case "clean":
			l.Close()
			alter(t, folder, "body-4")
			l, err = ledger.Open(t.Context(), ledger.Options{Folder: folder, Log: log, Known: after})
		case "killed":
			// copy
			other := t.TempDir()
			if err := os.CopyFS(other, os.DirFS(folder)); err != nil {
				t.Fatal(err)
			}
			l.Close()
			folder = other
			alter(t, folder, "body-4")
			l, err = ledger.Open(t.Context(), ledger.Options{Folder: folder, Log: log, Known: after})
		}
		if err != nil {
			t.Fatal(err)
		}
		report, err := l.Verify(within(t))
		t.Log(restart, report, err)
		for r, err := range l.History(within(t), ledger.Point{}) {
			t.Log(restart, r.Number, err)
			if err != nil {
				break
			}
		}
		l.Close()
		l, err = ledger.Open(t.Context(), ledger.Options{Folder: folder, Log: log, Known: after})
		if err != nil {
			t.Log(err)
			continue
		}
		report, err = l.Verify(within(t))
		t.Log(restart, "again", report, err)
		l.Close()
	}
}
