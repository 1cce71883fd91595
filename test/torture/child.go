package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// The words of an application's command line, beside SQL: a small part of the
// sqlite3 program's, so that both are spoken to alike.
const (
	printWord   = ".print "
	timeoutWord = ".timeout "
	imageStep   = ".image"
)

// application is the program that uses SQLite as the driver has it: it runs each
// line of its input and prints what comes out, errors as the sqlite3 program
// does.
func application(path string) error {
	c, err := connect(path)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		answer(c, out, in.Text())
		if err := out.Flush(); err != nil {
			return err
		}
	}
	return c.close()
}

func answer(c *connection, out *bufio.Writer, line string) {
	switch {
	case strings.HasPrefix(line, timeoutWord):
		line = "PRAGMA busy_timeout=" + strings.TrimPrefix(line, timeoutWord)
	case strings.HasPrefix(line, printWord):
		fmt.Fprintln(out, strings.TrimPrefix(line, printWord))
		return
	case line == imageStep:
		im, _, err := c.image()
		if err != nil {
			fmt.Fprintln(out, "Error:", err)
			return
		}
		fmt.Fprintln(out, im.encode())
		return
	}
	lines, err := c.run(line)
	for _, l := range lines {
		fmt.Fprintln(out, l)
	}
	if err != nil {
		fmt.Fprintln(out, "Error:", err)
	}
}
