//go:build !unix

package files

// Lock locks nothing on systems without flock(2).
func Lock(string) (unlock func() error, err error) { return func() error { return nil }, nil }
