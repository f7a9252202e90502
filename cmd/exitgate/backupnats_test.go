//go:build integration

package main

import (
	"testing"
)

// A gateway has all records of a ledger that is on NATS; there, a restore reads what came
// after the backup, and writes nothing.
func TestABackupOfAGatewayOnNATSIsRestoredToFollowTheLedgerThere(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	g := f.gateways[0]
	name := g.file("backup.tar")
	done := g.backUp(name)
	if done.Ledger == nil || done.Embedded || done.Ledger.Number != uint64(len(g.history())) {
		t.Errorf("the backup has %+v", done.Ledger)
	}
	g.apply(edition(2), "edition 2")
	f.waitConverged()
	other := f.newMember("restored")
	other.mustRun("restore", name)
	f.gateways = append(f.gateways, other)
	other.start()
	f.waitConverged()
	other.expectEdition(2)
	if verified := other.runCommand("log", "--verify"); verified.code != exitDone {
		t.Errorf("log --verify: %s", verified.text())
	}
	if found := other.runCommand("doctor", "--json"); found.code != exitDone {
		t.Errorf("doctor: %s", found.text())
	}
}
