package ship

import "errors"

// What a caller decides upon.
var (
	// ErrFenced says that another writer owns the next transaction of the
	// replica. It is never retried: a person decides who writes on.
	ErrFenced = errors.New("fenced")

	// ErrForeign is the ErrFenced of a replica whose head was not written by
	// this database's writer; adopting it or taking it over is a person's choice.
	ErrForeign = errors.New("replica belongs to another writer")
)
