package statedir

import (
	"errors"
	"io/fs"
	"os"
)

// Purges returns the sealed file that says what the caches were purged for.
func (d Dir) Purges() string { return d.in("purges.json") }

// ReadPurges returns what WritePurges kept, nil if nothing was.
func (d Dir) ReadPurges() ([]byte, error) { return readSealed(d.Purges()) }

// WritePurges keeps what the caches were purged for.
func (d Dir) WritePurges(content []byte) error { return writeSealed(d.Purges(), content) }

// RemovePurges forgets it: nobody follows what is refused any more.
func (d Dir) RemovePurges() error {
	if err := os.Remove(d.Purges()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Notifications returns the sealed file with what is still to be told to receivers.
func (d Dir) Notifications() string { return d.in("notifications.json") }

// ReadNotifications returns what WriteNotifications kept, nil if nothing was.
func (d Dir) ReadNotifications() ([]byte, error) { return readSealed(d.Notifications()) }

// WriteNotifications keeps what is still to be told.
func (d Dir) WriteNotifications(content []byte) error { return writeSealed(d.Notifications(), content) }
