package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/exitgate/exitgate/gateway/backup"
	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/gateway/source"
	"github.com/exitgate/exitgate/gateway/statedir"
	"github.com/exitgate/exitgate/internal/files"
)

// ErrOlder is the error of a backup that lacks what the data folder knows.
var ErrOlder = errors.New("the backup is older than what is known here")

const (
	settleTimeout  = 5 * time.Second       // how long a data folder may take to be the same for a moment
	settleInterval = 20 * time.Millisecond // between two looks at it
)

// A BackedUp is what Backup has written.
type BackedUp struct {
	File string `json:"file"`
	Data string `json:"data"` // the data folder
	backup.Manifest
	// Wrong are the numbers of the records that log --verify says to be wrong, although each
	// is in its place: they were so before.
	Wrong []uint64 `json:"wrong-records,omitempty"`
}

// Backup writes a backup of the data folder of some settings, by a program of some version.
// A gateway may run with the folder: what is written is what a start would find if the
// machine stopped at one moment, with all records that were known at that.
func Backup(c config.Config, name string, keys bool, version string, now time.Time) (b BackedUp, err error) {
	dir, err := findFolder(c)
	if err != nil {
		return BackedUp{}, err
	}
	if _, err := os.Lstat(dir.RestoreUnderWay()); err == nil {
		return BackedUp{}, fmt.Errorf("the data folder %s was restored in part only: do that again with exitgate restore", dir)
	}
	s, err := takeSnapshot(dir, keys)
	defer func() { s.close() }()
	if err != nil {
		return BackedUp{}, err
	}
	m := backup.Manifest{Version: version, Time: now.UTC(), Keys: keys}
	b = BackedUp{File: name, Data: string(dir)}
	if s.records != nil {
		head, wrong, err := verifyRecords(s.records)
		if err != nil {
			return BackedUp{}, fmt.Errorf("%s: %w", dir.Records(), err)
		}
		m.Ledger, b.Wrong = head, wrong
		_, err = os.Stat(dir.Ledger())
		m.Embedded = err == nil
		s.sources = append(s.sources, backup.Source{Name: filepath.Base(dir.Records()), Content: s.records.Content()})
	}
	if len(s.sources) == 0 {
		return BackedUp{}, fmt.Errorf("there is nothing in the data folder %s that a gateway has written: name another with --data", dir)
	}
	b.Manifest, err = backup.Write(name, m, s.sources)
	return b, err
}

// findFolder returns the data folder of some settings, which must be there.
func findFolder(c config.Config) (statedir.Dir, error) {
	folder, err := statedir.Find(c.Data)
	if err == nil {
		_, err = os.ReadDir(folder)
	}
	return statedir.Dir(folder), err
}

// A snapshot is what a data folder had at one moment, and the records that were known then.
type snapshot struct {
	sources []backup.Source
	opened  []*os.File
	records *ledger.Archive // nil: there are none
}

func (s *snapshot) close() {
	for _, f := range s.opened {
		_ = f.Close() // it was only read
	}
	s.opened, s.sources = nil, nil
	if s.records != nil {
		_ = s.records.Close()
		s.records = nil
	}
}

// takeSnapshot opens all files of a data folder until twice the same ones are there: each is
// replaced as a whole, so that they were there together in between. The records are only
// added to, and opened last.
func takeSnapshot(dir statedir.Dir, keys bool) (*snapshot, error) {
	for end := time.Now().Add(settleTimeout); ; time.Sleep(settleInterval) {
		s, err := trySnapshot(dir, keys)
		if err == nil || time.Now().After(end) {
			return s, err
		}
		s.close()
	}
}

func trySnapshot(dir statedir.Dir, keys bool) (*snapshot, error) {
	s, again := new(snapshot), new(snapshot)
	defer again.close()
	if err := errors.Join(s.open(dir, keys), again.open(dir, keys)); err != nil {
		return s, err
	}
	for i, f := range s.opened {
		one, err := f.Stat()
		if err != nil {
			return s, err
		}
		if len(again.opened) != len(s.opened) || again.opened[i].Name() != f.Name() {
			return s, fmt.Errorf("the data folder %s changes all the time: try again when less is under way", dir)
		}
		if other, err := again.opened[i].Stat(); err != nil || !os.SameFile(one, other) {
			return s, fmt.Errorf("%s changes all the time: try again when less is under way", f.Name())
		}
	}
	return s, s.openRecords(dir)
}

func (s *snapshot) open(dir statedir.Dir, keys bool) error {
	names, err := dir.BackupNames(keys)
	if err != nil {
		return err
	}
	for _, name := range names {
		f, err := os.Open(filepath.Join(string(dir), filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		s.opened = append(s.opened, f)
		info, err := f.Stat()
		if err != nil {
			return err
		}
		s.sources = append(s.sources, backup.Source{Name: name, Content: io.NewSectionReader(f, 0, info.Size())})
	}
	return nil
}

// openRecords opens the records, which must have all that the state has come to.
func (s *snapshot) openRecords(dir statedir.Dir) error {
	known := ledger.Point{}
	for _, file := range s.sources {
		if file.Name != filepath.Base(dir.Replica()) {
			continue
		}
		sealed, err := files.ReadAll(io.NewSectionReader(file.Content, 0, file.Content.Size()), statedir.MaxReplica)
		if err == nil {
			known, err = source.LastKnownIn(sealed)
		}
		if err != nil {
			return fmt.Errorf("%s is damaged (%w): start the gateway, which makes it again from the ledger, or move it away", dir.Replica(), err)
		}
	}
	records, _, err := ledger.ReadArchive(dir.Records())
	if errors.Is(err, fs.ErrNotExist) && known == (ledger.Point{}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the records of the ledger: %w", err)
	}
	s.records = records
	return checkHas(records, known, fmt.Sprintf("%s lacks %v, which this gateway has seen, as exitgate status may say why: without that no backup is whole", dir.Records(), known))
}

// checkHas returns an error if a point isn't among records.
func checkHas(records *ledger.Archive, p ledger.Point, message string) error {
	if p == (ledger.Point{}) {
		return nil
	}
	if r, err := records.Record(p.Number); err != nil || r.Hash != p.Hash {
		return errors.New(message)
	}
	return nil
}

// verifyRecords verifies records as log --verify does. An error is that one isn't as it was
// written, or not in its place; wrong are those that are, and say what can't be.
func verifyRecords(a *ledger.Archive) (head *backup.Head, wrong []uint64, err error) {
	v, err := source.VerifyRecords(a)
	if err != nil {
		return nil, nil, err
	}
	for _, r := range v.Invalid {
		wrong = append(wrong, r.Number)
	}
	if v.Last != a.Last() {
		return nil, nil, v.Invalid[len(v.Invalid)-1]
	}
	return &backup.Head{Number: v.Last.Number, Hash: v.Last.Hash.String(), Records: v.Records}, wrong, nil
}

// RestoreOptions say what Restore does.
type RestoreOptions struct {
	File     string
	Settings config.Config
	// ByManifest says that there is no file of settings: whether the ledger is in the data
	// folder is as it was.
	ByManifest bool
	Older      bool // even if the folder knows of more
	CheckOnly  bool // verify the backup, and leave the folder alone
	Log        *slog.Logger
	Now        time.Time
	Progress   func(number, last uint64) // of the records of the ledger that is made again
}

// A Restored is what Restore has done.
type Restored struct {
	File string `json:"file"`
	Data string `json:"data,omitempty"` // the data folder; "" if only the backup was checked
	backup.Manifest
	Wrong []uint64 `json:"wrong-records,omitempty"`
	// LedgerMade says that the ledger in the data folder was made again.
	LedgerMade bool `json:"ledger-made"`
	// Replaced is the folder in which is what was there before, "" if nothing was.
	Replaced string `json:"replaced,omitempty"`
}

// Restore puts what is in a backup into the data folder of some settings. No gateway may run
// with it. Before it has the last of the backup's files, verified, it changes nothing.
func Restore(ctx context.Context, o RestoreOptions) (r Restored, err error) {
	b, err := backup.Open(o.File)
	if err != nil {
		return Restored{}, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if o.CheckOnly {
		folder, err := os.MkdirTemp("", "exitgate-restore-*")
		if err != nil {
			return Restored{}, err
		}
		wrong, err := unpack(b, "", folder)
		return Restored{File: o.File, Manifest: b.Manifest, Wrong: wrong}, errors.Join(err, os.RemoveAll(folder))
	}
	folder, err := statedir.Find(o.Settings.Data)
	if err != nil {
		return Restored{}, err
	}
	_, missing := os.Stat(folder)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return Restored{}, err
	}
	dir := statedir.Dir(folder)
	r, err = restore(ctx, dir, b, o)
	if err != nil && missing != nil {
		_ = os.Remove(folder) // it is empty
	}
	return r, err
}

func restore(ctx context.Context, dir statedir.Dir, b *backup.Backup, o RestoreOptions) (r Restored, err error) {
	unlock, err := lockFolder(dir)
	if err != nil {
		return Restored{}, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := undoRestore(dir); err != nil {
		return Restored{}, fmt.Errorf("undo the restore that was interrupted: %w", err)
	}
	staging, err := os.MkdirTemp(string(dir), "restore-*.unfinished")
	if err != nil {
		return Restored{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(staging)) }()
	r = Restored{File: o.File, Data: string(dir), Manifest: b.Manifest}
	if r.Wrong, err = unpack(b, dir, staging); err != nil {
		return Restored{}, fmt.Errorf("%s: %w", o.File, err)
	}
	staged := statedir.Dir(staging)
	if newer := missingFromBackup(dir, staged, b.Manifest); newer != "" && !o.Older {
		return Restored{}, fmt.Errorf("%w: %s; with --older it is restored all the same, and what is here is kept beside it", ErrOlder, newer)
	}
	policy := o.Settings.Policy
	if b.Ledger != nil && policy.File == "" && len(policy.Ledger.NATS) == 0 && (b.Embedded || !o.ByManifest) {
		records, _, err := ledger.ReadArchive(staged.Records())
		if err != nil {
			return Restored{}, err
		}
		_, err = ledger.Import(ctx, ledger.Options{Name: policy.Ledger.Name, Folder: staged.Ledger(), Log: o.Log}, records,
			func(number uint64) { o.Progress(number, b.Ledger.Number) })
		if err = errors.Join(err, records.Close()); err != nil {
			return Restored{}, fmt.Errorf("make the ledger again: %w", err)
		}
		r.LedgerMade = true
	}
	if err := files.GiveTo(string(dir), staging); err != nil {
		return Restored{}, err
	}
	r.Replaced, err = swapIn(dir, staging, dir.RestoredNames(b.Keys), o.Now)
	return r, err
}

// lockFolder returns an error if a gateway runs with a data folder, and else keeps others
// from running with it until unlock is called, as far as one has before.
func lockFolder(dir statedir.Dir) (unlock func() error, err error) {
	if conn, err := net.DialTimeout("unix", dir.Socket(), time.Second); err == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("a gateway runs with the data folder %s: stop it first", dir)
	}
	var unlocks []func() error
	unlock = func() (err error) {
		for _, u := range unlocks {
			err = errors.Join(err, u())
		}
		return err
	}
	for _, lock := range []string{dir.Socket() + ".lock", filepath.Join(dir.Ledger(), "lock")} {
		if _, err := os.Stat(lock); err != nil {
			continue // it would be made
		}
		u, err := files.Lock(lock)
		if err != nil {
			return nil, errors.Join(err, unlock())
		}
		unlocks = append(unlocks, u)
	}
	return unlock, nil
}

// unpack writes the files of a backup into a folder, and verifies them.
func unpack(b *backup.Backup, dir statedir.Dir, folder string) (wrong []uint64, err error) {
	may := dir.RestoredNames(b.Keys)
	err = b.Read(func(f backup.File, content io.Reader) error {
		if top, _, _ := strings.Cut(f.Name, "/"); !slices.Contains(may, top) || top == filepath.Base(dir.Ledger()) {
			return errors.New("this is none of the files of a data folder: was it made by a later version of exitgate?")
		}
		name := filepath.Join(folder, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
		return writeSynced(name, content, b.Time)
	})
	if err != nil {
		return nil, err
	}
	unpacked := statedir.Dir(folder)
	known, err := source.LastKnown(unpacked)
	if err != nil {
		return nil, err
	}
	if b.Ledger == nil {
		if known != (ledger.Point{}) {
			return nil, fmt.Errorf("it lacks the records of the ledger, of which it knows %v", known)
		}
		return nil, nil
	}
	records, incomplete, err := ledger.ReadArchive(unpacked.Records())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, records.Close()) }()
	head, wrong, err := verifyRecords(records)
	switch {
	case err != nil:
		return nil, err
	case incomplete > 0 || *head != *b.Ledger:
		return nil, fmt.Errorf("its records end with %d, and not with %d as its manifest says", head.Number, b.Ledger.Number)
	}
	return wrong, checkHas(records, known, fmt.Sprintf("its records lack %v, which its state has come to", known))
}

func writeSynced(name string, content io.Reader, at time.Time) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), os.Chtimes(name, at, at))
}

// missingFromBackup returns what a data folder knows that a backup lacks, "" if that is nothing.
func missingFromBackup(dir, staged statedir.Dir, m backup.Manifest) string {
	var seen []ledger.Point
	known, damaged := source.LastKnown(dir)
	seen = append(seen, known)
	if records, _, err := ledger.ReadArchive(dir.Records()); err == nil {
		seen = append(seen, records.Last())
		_ = records.Close() // it was only read
	} else if !errors.Is(err, fs.ErrNotExist) {
		damaged = errors.Join(damaged, err)
	}
	if _, err := os.Stat(dir.Ledger()); err == nil && seen[len(seen)-1] == (ledger.Point{}) && known == (ledger.Point{}) {
		damaged = errors.Join(damaged, fmt.Errorf("%s is there, and no copy of its records", dir.Ledger()))
	}
	var restored *ledger.Archive
	if m.Ledger != nil {
		var err error
		if restored, _, err = ledger.ReadArchive(staged.Records()); err != nil {
			return err.Error()
		}
		defer func() { _ = restored.Close() }() // it was only read
	}
	for _, p := range seen {
		switch {
		case p == (ledger.Point{}):
		case restored == nil:
			return fmt.Sprintf("the ledger has %v here, and the backup has no ledger", p)
		case p.Number > m.Ledger.Number:
			return fmt.Sprintf("the ledger has %v here, and the backup ends with record %d", p, m.Ledger.Number)
		case checkHas(restored, p, "differs") != nil:
			return fmt.Sprintf("the ledger has %v here, and the backup has another record %d: it is of another ledger", p, p.Number)
		}
	}
	if damaged != nil {
		return "how far the ledger here has come can't be told: " + damaged.Error()
	}
	for _, name := range dir.Protecting() {
		info, err := os.Stat(filepath.Join(string(dir), name))
		if err != nil || !info.ModTime().After(m.Time) {
			continue
		}
		here, err := os.ReadFile(filepath.Join(string(dir), name))
		there, _ := os.ReadFile(filepath.Join(string(staged), name))
		if err != nil || string(here) != string(there) {
			return fmt.Sprintf("%s is from %s, after the backup", name, info.ModTime().UTC().Format(time.RFC3339))
		}
	}
	return ""
}

// A swap is what is written down before a data folder is changed, so that it can be undone.
type swap struct {
	Staging  string   `json:"staging"` // folder in the data folder, with what is to be put there
	Replaced string   `json:"replaced"`
	Placed   []string `json:"placed"`
}

// swapIn moves what is in a folder into the data folder, and what was there into another
// one, whose path it returns.
func swapIn(dir statedir.Dir, staging string, names []string, now time.Time) (replaced string, err error) {
	entries, err := os.ReadDir(staging)
	if err != nil {
		return "", err
	}
	replaced, err = os.MkdirTemp(string(dir), "replaced-"+now.UTC().Format("20060102T150405Z")+"-*")
	if err != nil {
		return "", err
	}
	plan := swap{Staging: filepath.Base(staging), Replaced: filepath.Base(replaced)}
	for _, entry := range entries {
		plan.Placed = append(plan.Placed, entry.Name())
	}
	text, err := json.Marshal(plan)
	if err == nil {
		err = files.Replace(dir.RestoreUnderWay(), text)
	}
	if err == nil {
		err = move(string(dir), replaced, names)
	}
	if err == nil {
		err = move(staging, string(dir), plan.Placed)
	}
	if err == nil {
		err = errors.Join(files.GiveTo(string(dir), replaced), files.SyncFolder(replaced), files.SyncFolder(string(dir)))
	}
	if err == nil {
		err = os.Remove(dir.RestoreUnderWay())
	}
	if err != nil {
		err = errors.Join(err, undoRestore(dir))
		_ = os.Remove(replaced) // if nothing is in it
		return "", err
	}
	if os.Remove(replaced) == nil { // it is empty
		replaced = ""
	}
	return replaced, files.SyncFolder(string(dir))
}

// move moves those of some names that there are from one folder into another.
func move(from, to string, names []string) error {
	for _, name := range names {
		if err := os.Rename(filepath.Join(from, name), filepath.Join(to, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// undoRestore undoes a restore that was interrupted, if one was, and may itself be.
func undoRestore(dir statedir.Dir) error {
	text, err := files.Read(dir.RestoreUnderWay(), 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var plan swap
	if err == nil {
		err = json.Unmarshal(text, &plan)
	}
	if err != nil {
		return err
	}
	staging, replaced := filepath.Join(string(dir), filepath.Base(plan.Staging)), filepath.Join(string(dir), filepath.Base(plan.Replaced))
	for _, name := range plan.Placed { // what isn't in the folder that it comes from was put in place
		if _, err := os.Lstat(filepath.Join(staging, name)); errors.Is(err, fs.ErrNotExist) {
			if err := os.MkdirAll(staging, 0o700); err != nil {
				return err
			}
			if err := move(string(dir), staging, []string{name}); err != nil {
				return err
			}
		}
	}
	before, err := os.ReadDir(replaced)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, entry := range before {
		if err := move(replaced, string(dir), []string{entry.Name()}); err != nil {
			return err
		}
	}
	err = errors.Join(files.SyncFolder(string(dir)), os.Remove(dir.RestoreUnderWay()))
	_ = os.Remove(replaced) // it is empty
	return errors.Join(err, os.RemoveAll(staging))
}
