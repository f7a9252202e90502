package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/gateway/source"
	"github.com/exitgate/exitgate/gateway/statedir"
)

// An Imported is what ImportLedger has done.
type Imported struct {
	From    string `json:"from"`    // the file
	Last    uint64 `json:"last"`    // its last record, and the hash of that
	Hash    string `json:"hash"`    //
	Written int    `json:"written"` // messages; the others were there
}

// ImportLedger makes the ledger of some settings again from a copy of its records, "" for
// that in the data folder. No gateway may run with the data folder.
func ImportLedger(ctx context.Context, c config.Config, from string, log *slog.Logger, progress func(number, last uint64)) (i Imported, err error) {
	dir, known, err := openOffline(c)
	if err != nil {
		return Imported{}, err
	}
	if from == "" {
		from = dir.Records()
	}
	records, incomplete, err := ledger.ReadArchive(from)
	if err != nil {
		return Imported{}, err
	}
	if incomplete > 0 {
		log.Warn("the copy ends within a record, which is left out", "file", from, "at", incomplete, "after_record", records.Last().Number)
	}
	defer func() { err = errors.Join(err, records.Close()) }()
	last := records.Last()
	if known != (ledger.Point{}) {
		if r, err := records.Record(known.Number); err != nil || r.Hash != known.Hash {
			return Imported{}, fmt.Errorf("%w: %s ends with record %d and lacks %v, which this machine has seen: take another gateway's copy", ledger.ErrHistory, from, last.Number, known)
		}
	}
	cluster, err := clusterOf(c.Policy.Ledger)
	if err != nil {
		return Imported{}, err
	}
	written, err := ledger.Import(ctx, ledger.Options{Name: c.Policy.Ledger.Name, Folder: dir.Ledger(), Cluster: cluster, Log: log}, records,
		func(number uint64) { progress(number, last.Number) })
	return Imported{from, last.Number, last.Hash.String(), written}, err
}

// RepairLedger finds what is damaged at the end of the ledger in a data folder, nil if
// nothing is. With cut, it cuts it off.
func RepairLedger(c config.Config, cut bool) (*ledger.Tail, error) {
	if len(c.Policy.Ledger.NATS) > 0 {
		return nil, errors.New("the ledger of these settings is on NATS, and its files are there: see how NATS is repaired")
	}
	dir, known, err := openOffline(c)
	if err != nil {
		return nil, err
	}
	return ledger.Repair(ledger.Options{Name: c.Policy.Ledger.Name, Folder: dir.Ledger(), Known: known}, cut)
}

// openOffline returns the data folder of some settings, and the last record that is
// known in it: by the replica, or if that is damaged by the copy of the records.
func openOffline(c config.Config) (statedir.Dir, ledger.Point, error) {
	if c.Policy.File != "" {
		return "", ledger.Point{}, fmt.Errorf("with these settings the policy comes from the file %s, and there is no ledger", c.Policy.File)
	}
	folder, err := statedir.Find(c.Data)
	if err == nil {
		_, err = os.Stat(folder)
	}
	if err != nil {
		return "", ledger.Point{}, err
	}
	dir := statedir.Dir(folder)
	known, err := source.LastKnown(dir)
	if err == nil {
		return dir, known, nil
	}
	// What it came to is damaged; the records are kept beside it.
	records, _, failed := ledger.ReadArchive(dir.Records())
	if failed != nil {
		return "", ledger.Point{}, fmt.Errorf("%w; nor can the last record that this machine has seen be told by its records: %w; move %s away to do without", err, failed, dir.Replica())
	}
	return dir, records.Last(), records.Close()
}
