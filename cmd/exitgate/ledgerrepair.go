package main

import (
	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway"
	"github.com/exitgate/exitgate/gateway/ledger"
)

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
