package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway"
	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/gateway/ledger"
)

func newLedger() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ledger",
		Short: "Make a lost ledger again, repair a damaged one, and export its records",
		Long: `Make the ledger again from a gateway's copy of its records, or cut off what a power
cut has left at the end of its files. Both work on the data folder, or on NATS as
the settings say, while no gateway runs with the folder. What is in the ledger is
shown and verified by exitgate log, and written for other programs by export.`,
		Example: `  exitgate ledger export > records.jsonl
  exitgate ledger repair
  exitgate ledger import`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newLedgerImport(), newLedgerExport(), newLedgerRepair())
	return cmd
}

func newLedgerImport() *cobra.Command {
	var o offlineOptions
	var from string
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Make a lost ledger again from a copy of its records",
		Long: `Make the ledger again from a copy of its records: records.log in the data folder, or
another gateway's. Each record gets the number that it had, and is as it was, with
its hash. Gateways that knew the ledger go on with it.

It writes into the ledger that the settings name: in the data folder, or on NATS.
What is in the way there has to be moved away before: a ledger that has records is
refused, unless they are the first of those in the copy, as after an import that
was interrupted. Start no gateway with an empty data folder until it is done.

Exit codes: 0 done, 1 failed, 2 usage, 3 refused: the ledger has other records, or
the copy lacks one that this machine has seen.`,
		Example: `  exitgate ledger import
  exitgate ledger import --config /etc/exitgate/exitgate.yaml
  exitgate ledger import --data /var/lib/exitgate --from paris/records.log`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.settings()
			if err != nil {
				return err
			}
			logger, err := newLogger(cmd.ErrOrStderr(), "")
			if err != nil {
				return err
			}
			done, err := gateway.ImportLedger(cmd.Context(), c, from, logger, recordProgress(cmd.ErrOrStderr()))
			switch {
			case err != nil:
				return offlineError(err, ledger.ErrStreamInUse, ledger.ErrHistory)
			case o.json:
				return writeJSON(cmd.OutOrStdout(), done)
			}
			out := newPrinter(cmd.OutOrStdout())
			out.colouredParagraph(green, "", "The ledger is there again, up to record %d, as it is in %s.", done.Last, sanitise(done.From))
			fmt.Fprintf(out, "Written were %d records. The hash of the last is %s\n", done.Written, done.Hash)
			return nil
		},
	}
	o.register(cmd)
	cmd.Flags().StringVar(&from, "from", "", "`file` with the copy (default records.log in the data folder)")
	_ = cmd.MarkFlagFilename("from") // the flag exists
	return cmd
}

func newLedgerRepair() *cobra.Command {
	var o offlineOptions
	var cut bool
	cmd := &cobra.Command{
		Use:   "repair",
		Short: "Cut off what is damaged behind the ledger's last record",
		Long: `Say what is damaged at the end of the files of a ledger in the data folder, as after
a power cut. With --cut, cut it off: then the ledger can be written again. A copy of
the file is kept in the ledger's folder.

Only what is behind the last whole record is cut, and behind the last record that
this machine has seen. Other damage is refused: put the ledger's folder back from a
backup, or move it away and make it again with: exitgate ledger import

Exit codes: 0 done, or nothing is damaged, 1 failed, or there is something to cut, 2
usage, 3 refused, as records would be lost.`,
		Example: `  exitgate ledger repair
  exitgate ledger repair --cut
  exitgate ledger repair --data /var/lib/exitgate --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.settings()
			if err != nil {
				return err
			}
			tail, err := gateway.RepairLedger(c, cut)
			if err != nil {
				return offlineError(err, ledger.ErrNotTail)
			}
			out := newPrinter(cmd.OutOrStdout())
			switch {
			case o.json:
				if err := writeJSON(cmd.OutOrStdout(), struct {
					Damaged *ledger.Tail `json:"damaged"`
					Cut     bool         `json:"cut"`
				}{tail, tail != nil && cut}); err != nil {
					return err
				}
			case tail == nil:
				out.colouredParagraph(green, "", "Nothing is damaged in the ledger's files.")
			case cut:
				out.colouredParagraph(green, "", "Cut off were %d bytes behind record %d. What was there is kept in %s.", tail.Bytes, tail.After, sanitise(tail.Copy))
			default:
				out.colouredParagraph(yellow, "", "%s is damaged from byte %d on, behind record %d, to its end: %d bytes (%s). No record is lost with them. Cut them off with: exitgate ledger repair --cut",
					sanitise(tail.File), tail.Offset, tail.After, tail.Bytes, sanitise(tail.What))
			}
			if tail != nil && !cut {
				return &exitError{code: exitFailed}
			}
			return nil
		},
	}
	o.register(cmd)
	cmd.Flags().BoolVar(&cut, "cut", false, "cut it off")
	return cmd
}

// offlineOptions say where a gateway that doesn't run keeps things.
type offlineOptions struct {
	config, data string
	json         bool
}

func (o *offlineOptions) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.config, "config", "", "`file` with the gateway's settings")
	f.StringVar(&o.data, "data", "", "`folder` in which the gateway keeps things")
	f.BoolVar(&o.json, "json", false, "print JSON")
	_ = cmd.MarkFlagFilename("config") // the flags exist
	_ = cmd.MarkFlagDirname("data")
}

func (o *offlineOptions) settings() (config.Config, error) {
	c, _, err := readSettings(o.config)
	c.Data = cmp.Or(o.data, c.Data, os.Getenv("EXITGATE_DATA"))
	return c, err
}

// offlineError is what a command ends with: 3 where it would do harm to go on.
func offlineError(err error, refused ...error) error {
	for _, r := range refused {
		if errors.Is(err, r) {
			return &exitError{exitRefused, err}
		}
	}
	return exitFailure(err)
}

// recordProgress returns what says now and then how far the records of a ledger are written.
func recordProgress(to io.Writer) func(number, last uint64) {
	return func(number, last uint64) {
		if number%1000 == 0 {
			fmt.Fprintf(to, "record %d of %d\n", number, last)
		}
	}
}
