package watch

// supported says that watching a directory opens nothing in it.
const supported = true
