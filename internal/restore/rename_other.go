//go:build !linux

package restore

// renameNew renames from to to unless to exists: fs.ErrExist.
func renameNew(from, to string) error { return renameChecked(from, to) }
