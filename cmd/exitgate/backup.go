package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway"
	"github.com/exitgate/exitgate/gateway/backup"
	"github.com/exitgate/exitgate/gateway/ledger"
)

func newBackup(now func() time.Time) *cobra.Command {
	var o offlineOptions
	var keys bool
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Back up the data folder and the ledger, also while the gateway runs",
		Long: `Write all that a gateway would start with into one file, a tar archive: the records
of the ledger, of one on NATS too, as this gateway has a copy of all of them; the state,
the flags, the steps that were taken, the copies of the databases. The records are
verified as by exitgate log --verify, and the file is read again before it appears. It
is for its owner alone (mode 0600) and takes the place of one of that name.

Not in it are the settings, a policy in a file of its own, and certificates and secrets
that the settings name; nor, without --keys, certificates that the gateway has obtained
or made, with their keys. Who may read it may read the whole ledger, with what isn't
disclosed.

It asks no gateway, and reads the data folder on this machine.

Exit codes: 0 done, 1 failed, and there is no new file, 2 usage.`,
		Example: `  exitgate backup /var/backups/exitgate.tar
  exitgate backup /var/backups/exitgate.tar --keys
  exitgate backup --data /var/lib/exitgate "exitgate-$(date +%F).tar" --json
  exitgate restore exitgate.tar --check`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeFiles("tar"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.settings()
			if err != nil {
				return err
			}
			v, err := version()
			if err != nil {
				return exitFailure(err)
			}
			done, err := gateway.Backup(c, args[0], keys, v.Version, now())
			if err != nil {
				return exitFailure(err)
			}
			if o.json {
				return writeJSON(cmd.OutOrStdout(), done)
			}
			out := newPrinter(cmd.OutOrStdout())
			out.colouredParagraph(green, "", "The data folder %s is backed up in %s: %s.", sanitise(done.Data), sanitise(done.File), plural(len(done.Files), "file"))
			writeHead(out, done.Manifest, done.Wrong)
			return nil
		},
	}
	o.register(cmd)
	cmd.Flags().BoolVar(&keys, "keys", false, "with the certificates that the gateway has obtained or made, their keys and the account")
	return cmd
}

// writeHead says how far the ledger in a backup has come.
func writeHead(out printer, m backup.Manifest, wrong []uint64) {
	if m.Ledger == nil {
		fmt.Fprintln(out, "There is no ledger in it.")
		return
	}
	fmt.Fprintf(out, "The ledger ends with record %d, with the hash %s\n", m.Ledger.Number, sanitise(m.Ledger.Hash))
	if len(wrong) > 0 {
		out.colouredParagraph(yellow, "", "It was so before: %s of it can't be what they say, as exitgate log --verify names them.", plural(len(wrong), "record"))
	}
}

func newRestore(now func() time.Time) *cobra.Command {
	var o offlineOptions
	var older, check bool
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup into the data folder, on this machine or a new one",
		Long: `Put what exitgate backup has written into the data folder, while no gateway runs with
it. A ledger in the data folder is made again from its records. One on NATS isn't
written: the gateway reads there what it lacks, and a lost one is made again with
exitgate ledger import. A backup that was cut off or changed is refused, and nothing
is changed. What was in the folder is kept in a folder in it, replaced-TIME.

It is refused where the data folder knows of more than the backup has: records of the
ledger, steps that were taken, breaches. With --older, that is given up, which may
open markets that were withdrawn since: look at exitgate plan, and at the dates in
exitgate log, before traffic goes there.

Whether the ledger is in the data folder is as it was, or as the file given with
--config says.

Exit codes: 0 done, 1 failed, and nothing is changed, 2 usage, 3 refused: the data
folder knows of more.`,
		Example: `  exitgate restore exitgate.tar --check
  exitgate restore exitgate.tar
  exitgate restore exitgate.tar --config /etc/exitgate/exitgate.yaml
  exitgate restore exitgate.tar --data /var/lib/exitgate --older --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeFiles("tar"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.settings()
			if err != nil {
				return err
			}
			logger, err := newLogger(cmd.ErrOrStderr(), "")
			if err != nil {
				return err
			}
			done, err := gateway.Restore(cmd.Context(), gateway.RestoreOptions{
				File: args[0], Settings: c, ByManifest: o.config == "", Older: older, CheckOnly: check, Log: logger, Now: now(),
				Progress: recordProgress(cmd.ErrOrStderr()),
			})
			switch {
			case err != nil:
				return offlineError(err, gateway.ErrOlder, ledger.ErrStreamInUse)
			case o.json:
				return writeJSON(cmd.OutOrStdout(), done)
			}
			out := newPrinter(cmd.OutOrStdout())
			if check {
				out.colouredParagraph(green, "", "%s is whole: %s, of %s, by exitgate %s.", sanitise(done.File), plural(len(done.Files), "file"), formatTime(done.Time), sanitise(done.Version))
			} else {
				out.colouredParagraph(green, "", "The data folder %s is as it was at %s.", sanitise(done.Data), formatTime(done.Time))
			}
			writeHead(out, done.Manifest, done.Wrong)
			if done.Replaced != "" {
				out.paragraph("", "What was there before is in %s. Remove it when nobody needs it.", sanitise(done.Replaced))
			}
			if !check && done.Ledger != nil && !done.LedgerMade {
				out.paragraph("", "The ledger isn't in the data folder, and was left as it is. If it is lost, make it again with: exitgate ledger import")
			}
			return nil
		},
	}
	o.register(cmd)
	cmd.Flags().BoolVar(&older, "older", false, "even where the data folder knows of more than the backup has")
	cmd.Flags().BoolVar(&check, "check", false, "say whether the backup is whole, and change nothing")
	cmd.MarkFlagsMutuallyExclusive("older", "check")
	return cmd
}

func newLedgerExport() *cobra.Command {
	var o offlineOptions
	var from string
	var after uint64
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the ledger's records as lines of JSON",
		Long: `Write all records of the ledger, the oldest first, each as a line of JSON, with its
hash and that of the one before it: for other programs. They are read from records.log
in the data folder, also while the gateway runs, or from another gateway's; and each
is checked. It has all that was written, also what isn't disclosed.

The ledger is made again from records.log itself, and not from these lines.

Exit codes: 0 done, 1 failed, or the records are damaged, 2 usage.`,
		Example: `  exitgate ledger export > records.jsonl
  exitgate ledger export --after 1200
  exitgate ledger export --from paris/records.log | jq 'select(.author == "ada")'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.settings()
			if err != nil {
				return err
			}
			return exitFailure(gateway.ExportRecords(c, from, after, cmd.OutOrStdout()))
		},
	}
	o.register(cmd)
	cmd.Flags().Lookup("json").Usage = "print JSON, as it does anyway"
	cmd.Flags().StringVar(&from, "from", "", "`file` with the records (default records.log in the data folder)")
	cmd.Flags().Uint64Var(&after, "after", 0, "only those behind a `number`")
	_ = cmd.MarkFlagFilename("from") // the flag exists
	return cmd
}
