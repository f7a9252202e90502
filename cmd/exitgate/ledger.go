package main

import (
	"cmp"
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway/config"
)

func newLedger() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ledger",
		Short: "Make a lost ledger again, and repair a damaged one",
		Long: `Make the ledger again from a gateway's copy of its records, or cut off what a power
cut has left at the end of its files. Both work on the data folder, or on NATS as
the settings say, while no gateway runs with the folder. What is in the ledger is
shown and verified by: exitgate log`,
		Example: `  exitgate ledger repair
  exitgate ledger import`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newLedgerImport(), newLedgerRepair())
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
	c, err := readSettings(o.config)
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
