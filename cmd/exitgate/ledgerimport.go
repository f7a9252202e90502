package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway"
	"github.com/exitgate/exitgate/gateway/ledger"
)

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
			done, err := gateway.ImportLedger(cmd.Context(), c, from, logger, func(number, last uint64) {
				if number%1000 == 0 {
					fmt.Fprintf(cmd.ErrOrStderr(), "record %d of %d\n", number, last)
				}
			})
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
