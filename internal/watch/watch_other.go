//go:build !linux

package watch

// supported is false where a watched directory's files are opened, and closed again,
// which drops SQLite's locks on them.
const supported = false
