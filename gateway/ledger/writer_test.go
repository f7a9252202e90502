package ledger_test

func runWriter() {}
