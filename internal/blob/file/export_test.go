package file

// Explain is explain, for a table of errors that no test can provoke.
func (s *Store) Explain(op, key string, err error) error { return s.explain(op, key, err) }
