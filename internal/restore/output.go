package restore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// sidecars are the files in which SQLite would look for more of a database. An
// old one beside a restored file would be replayed into it.
var sidecars = []string{"-wal", "-shm", "-journal"}

// output is the place where a database goes.
type output struct {
	path  string // absolute; not a symbolic link
	force bool
	old   fs.FileInfo // of the file to be replaced; nil when there is none
}

// openOutput checks that a database may be restored to path. It changes nothing.
func openOutput(path string, force bool) (*output, error) {
	path, err := resolve(path, force)
	if err != nil {
		return nil, err
	}
	out := &output{path: path, force: force}
	dir, err := os.Stat(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("directory %s does not exist; create it", filepath.Dir(path))
	}
	if err == nil && !dir.IsDir() {
		err = fmt.Errorf("%s is not a directory; choose another path", filepath.Dir(path))
	}
	if err != nil {
		return nil, err
	}
	return out, out.inspect()
}

// resolve makes path absolute. A symbolic link that is to be replaced stays: it
// is the file behind it that SQLite names a log after.
func resolve(path string, force bool) (string, error) {
	if path == "" {
		return "", errors.New("no output; name a path")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 || !force {
		return path, nil // what is there is looked at later
	}
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", fmt.Errorf("%s is a symbolic link to nowhere; remove it: %w", path, err)
	}
	return target, nil
}

// inspect looks at what is at the output. Without force that must be nothing,
// also no log that an older file has left.
func (o *output) inspect() error {
	info, err := os.Lstat(o.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%w: %s is a directory; name a file in it", ErrExists, o.path)
	case !o.force:
		return fmt.Errorf("%w; choose another path, or replace it with --force", ErrExists)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w: %s is not a regular file; choose another path", ErrExists, o.path)
	default:
		o.old = info
	}
	for _, suffix := range sidecars {
		if o.force {
			break
		}
		if _, err := os.Lstat(o.path + suffix); err == nil {
			return fmt.Errorf("%w: %s belongs to another file, and SQLite would add it to the restored one; remove both with --force, or choose another path",
				ErrExists, o.path+suffix)
		}
	}
	return nil
}

// createImage creates the file that becomes the output, after removing what
// restores to the same output have left behind when they were killed, or takes one of
// those that is of use.
func (o *output) createImage(opts Options, use func(note) bool) (*image, error) {
	prefix := leftoverPrefix(o.path)
	f, kept := takeLeftover(filepath.Dir(o.path), prefix, use)
	img := &image{file: f}
	if f != nil {
		img.kept = &kept
	} else {
		var err error
		if img.file, err = os.CreateTemp(filepath.Dir(o.path), prefix+"*"); err != nil {
			return nil, err
		}
		if err := lock(img.file); err != nil {
			img.discard()
			return nil, err
		}
	}
	img.direct = openDirect(img.path())
	if err := o.dress(img.file, opts); err != nil {
		img.discard()
		return nil, err
	}
	return img, nil
}

// dress gives f the mode and the owner that opts say, else those of the file that
// it will replace, so that who could use that can go on. A new file is its
// creator's alone.
func (o *output) dress(f *os.File, opts Options) error {
	owner, mode := opts.Owner, opts.Mode
	if o.old != nil {
		if old, ok := o.old.Sys().(*syscall.Stat_t); ok && owner == nil {
			owner = &Owner{int(old.Uid), int(old.Gid)}
		}
		if mode == 0 {
			mode = o.old.Mode().Perm()
		}
	}
	if owner != nil && *owner != (Owner{os.Getuid(), os.Getgid()}) {
		if err := f.Chown(owner.User, owner.Group); err != nil {
			return fmt.Errorf("give the file to user %d, group %d: %w; run as that user, or restore to another path", owner.User, owner.Group, err)
		}
	}
	if mode == 0 {
		return nil
	}
	return f.Chmod(mode)
}

// publish gives the finished file at temp the output's name.
func (o *output) publish(temp string) error {
	var err error
	if o.force {
		err = o.replace(temp)
	} else {
		err = o.create(temp)
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(o.path))
}

// replace puts temp in the place of an older file. The logs go first, for good:
// a crash in between leaves the older file without its log, never the restored
// one with another's.
func (o *output) replace(temp string) error {
	for _, suffix := range sidecars {
		if err := os.Remove(o.path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := syncDir(filepath.Dir(o.path)); err != nil {
		return err
	}
	return os.Rename(temp, o.path)
}

// create gives temp its name if nothing has taken that meanwhile.
func (o *output) create(temp string) error {
	if err := o.inspect(); err != nil {
		return err
	}
	err := renameNew(temp, o.path)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %w", ErrExists, err)
	}
	return err
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// renameChecked is renameNew where the system does not offer it: a file that
// appears between the look and the renaming is replaced.
func renameChecked(from, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: fs.ErrExist}
	}
	return os.Rename(from, to)
}
