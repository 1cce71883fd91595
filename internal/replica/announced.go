package replica

// WrittenFor tells whether the object that is read begins as Encode makes one of
// d: not only with its name, but with its place in the log, its size and time.
func (r *Reader) WrittenFor(d Draft) bool { return r.header == d.header() }

// Valid tells whether d describes an object that readers accept.
func (d Draft) Valid() bool { return d.validate() == nil }
