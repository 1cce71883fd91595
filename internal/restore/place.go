package restore

import (
	"fmt"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// Look tells whether Run would take opts' output, as far as can be seen before
// anything is read from the store. It changes nothing.
func Look(opts Options) error {
	if _, err := openOutput(opts.Output, opts.Force); err != nil {
		return fmt.Errorf("restore to %s: %w%s", opts.Output, err, hint(err))
	}
	return nil
}

// Discard removes what restores to opts' output have left behind beside it and
// nobody is at work on.
func Discard(opts Options) error {
	path, err := resolve(opts.Output, opts.Force)
	if err == nil {
		takeLeftover(filepath.Dir(path), leftoverPrefix(path), func(note) bool { return false })
	}
	return err
}

// leftoverPrefix begins the names of the files that become the output at path.
func leftoverPrefix(path string) string { return "." + filepath.Base(path) + ".holdfast-restore-" }

// ParseOwner reads USER or USER:GROUP, names or numbers of this machine. Without a
// group it is the user's own; of a number that nobody has as a name, the same number.
func ParseOwner(text string) (*Owner, error) {
	name, group, hasGroup := strings.Cut(text, ":")
	o := &Owner{}
	known, err := user.Lookup(name)
	if err != nil {
		known, err = user.LookupId(name)
	}
	if err != nil {
		if o.User, err = parseID(name); err != nil {
			return nil, fmt.Errorf("there is no user %q", name)
		}
		known = &user.User{Uid: name, Gid: name}
	}
	if o.User, err = parseID(known.Uid); err != nil {
		return nil, err
	}
	if !hasGroup {
		o.Group, err = parseID(known.Gid)
		return o, err
	}
	if g, err := user.LookupGroup(group); err == nil {
		group = g.Gid
	}
	if o.Group, err = parseID(group); err != nil {
		return nil, fmt.Errorf("there is no group %q", group)
	}
	return o, nil
}

func parseID(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	return int(n), err
}
