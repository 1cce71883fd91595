package main

import (
	"context"
	"database/sql/driver"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// applicationCommand makes this program the application: its one argument is an
// order in JSON.
const applicationCommand = "application"

// order is what an application is to do with its database, which it creates.
type order struct {
	DB     string
	Report string // file for what it did, as gob
	Work   work

	Bytes  int64         // for fill
	One    bool          // for fill: in a single transaction
	Rate   int           // for insert: transactions per second; 0 for as fast as possible
	Number bool          // for insert: each transaction bears its number
	Span   time.Duration // for insert
	Full   bool          // synchronous=FULL, not NORMAL: each commit waits for the disk

	Stranger bool `json:"-"` // there is a turn beside somebody else's puts
}

// work is a kind of order.
type work string

// Kinds of orders. Each ends with a transaction that bears a number.
const (
	fill   work = "fill"   // insert Bytes
	insert work = "insert" // insert one small row after the other for Span
	touch  work = "touch"  // change one page in a hundred
)

// report is what an application has done. Times are in ns since 1970.
type report struct {
	Begun, Ended []int64 // of each transaction of insert; Ended is the return of its commit
	Start, End   int64   // of all
	First, Last  uint64  // numbers of transactions
	Rows         int64   // inserted or changed
}

// app is an application at work.
type app struct {
	order
	conn   driver.Conn
	number uint64
	text   *text
	report report
}

// application carries out the order in JSON text.
func application(text string) error {
	a := &app{text: newText()}
	if err := json.Unmarshal([]byte(text), &a.order); err != nil {
		return err
	}
	if err := a.open(); err != nil {
		return err
	}
	err := a.do()
	if err := errors.Join(err, a.conn.Close()); err != nil {
		return err
	}
	f, err := os.Create(a.Report)
	if err != nil {
		return err
	}
	return errors.Join(gob.NewEncoder(f).Encode(a.report), f.Close())
}

// rowBytes is how long the texts of fill and touch are: four of them make a page.
const rowBytes = 1000

// smallBytes is how long those of insert are.
const smallBytes = 100

func (a *app) open() (err error) {
	synchronous := "NORMAL"
	if a.Full {
		synchronous = "FULL"
	}
	a.conn, err = (&sqlite3.SQLiteDriver{}).Open("file:" + a.DB + "?_busy_timeout=30000&_journal_mode=WAL&_synchronous=" + synchronous)
	if err != nil {
		return err
	}
	for _, statement := range []string{
		"CREATE TABLE IF NOT EXISTS mark(id INTEGER PRIMARY KEY, body TEXT NOT NULL)",
		"CREATE TABLE IF NOT EXISTS entries(id INTEGER PRIMARY KEY, body TEXT NOT NULL)",
		"INSERT OR IGNORE INTO mark VALUES(1, '" + markText(0) + "')",
	} {
		if err := a.exec(statement); err != nil {
			return err
		}
	}
	a.number, err = readMark(a.conn)
	a.report.First = a.number + 1
	return err
}

func (a *app) do() (err error) {
	a.report.Start = time.Now().UnixNano()
	switch a.Work {
	case fill:
		err = a.fill()
	case insert:
		err = a.insert()
	case touch:
		err = a.touch()
	}
	if err == nil && !a.One {
		err = a.numbered(func() error { return nil })
	}
	a.report.End, a.report.Last = time.Now().UnixNano(), a.number
	return err
}

// fill inserts Bytes, about 1 MiB in a transaction or all in one.
func (a *app) fill() error {
	row, err := a.conn.Prepare("INSERT INTO entries(body) VALUES(?)")
	if err != nil {
		return err
	}
	defer row.Close()
	batch := int64(1024)
	left := a.Bytes / 1024
	if a.One {
		batch = left
	}
	for ; left > 0; left -= batch {
		err := a.numbered(func() error {
			for range min(batch, left) {
				if err := execute1(row, a.text.next(rowBytes)); err != nil {
					return err
				}
				a.report.Rows++
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// touch changes one row in each hundredth page of entries, to a text of the same
// length.
func (a *app) touch() error {
	row, err := a.conn.Prepare("UPDATE entries SET body = ? WHERE id = ?")
	if err != nil {
		return err
	}
	defer row.Close()
	last, err := a.value("SELECT max(id) FROM entries")
	if err != nil {
		return err
	}
	most, ok := last.(int64)
	if !ok {
		return errors.New("there is nothing to change")
	}
	return a.numbered(func() error {
		for id := int64(200); id <= most; id += 400 {
			if err := execute1(row, a.text.next(rowBytes), id); err != nil {
				return err
			}
			a.report.Rows++
		}
		return nil
	})
}

// insert inserts small rows, each in a transaction, and notes how long they took.
func (a *app) insert() error {
	row, err := a.conn.Prepare("INSERT INTO entries(body) VALUES(?)")
	if err != nil {
		return err
	}
	defer row.Close()
	room := 1 << 20
	if a.Rate > 0 {
		room = int(a.Span.Seconds()*float64(a.Rate)) + 1
	}
	a.report.Begun, a.report.Ended = make([]int64, 0, room), make([]int64, 0, room)
	begin := time.Now()
	for n := 0; ; n++ {
		if a.Rate > 0 {
			time.Sleep(time.Until(begin.Add(time.Duration(n) * time.Second / time.Duration(a.Rate))))
		}
		now := time.Now()
		if now.Sub(begin) >= a.Span {
			return nil
		}
		one := func() error { return execute1(row, a.text.next(smallBytes)) }
		if a.Number {
			err = a.numbered(one)
		} else {
			err = one()
		}
		if err != nil {
			return err
		}
		a.report.Rows++
		a.report.Begun = append(a.report.Begun, now.UnixNano())
		a.report.Ended = append(a.report.Ended, now.UnixNano()+int64(time.Since(now)))
	}
}

// numbered runs f in a transaction that bears the next number.
func (a *app) numbered(f func() error) error {
	if err := a.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	if err := a.exec("UPDATE mark SET body = ? WHERE id = 1", markText(a.number+1)); err != nil {
		return err
	}
	if err := a.exec("COMMIT"); err != nil {
		return err
	}
	a.number++
	return nil
}

func (a *app) exec(statement string, args ...driver.Value) error {
	prepared, err := a.conn.Prepare(statement)
	if err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	defer prepared.Close()
	if err := execute1(prepared, args...); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

func (a *app) value(query string) (driver.Value, error) { return oneValue(a.conn, query) }

// execute1 executes a prepared statement. The driver's own connection is used
// rather than database/sql, whose cost would be the larger part.
func execute1(prepared driver.Stmt, args ...driver.Value) error {
	_, err := prepared.Exec(args) //nolint:staticcheck // the one with a context takes a goroutine for each call
	return err
}

func oneValue(conn driver.Conn, query string) (driver.Value, error) {
	prepared, err := conn.Prepare(query)
	if err != nil {
		return nil, err
	}
	defer prepared.Close()
	rows, err := prepared.Query(nil) //nolint:staticcheck // as above
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	dest := make([]driver.Value, 1)
	if err := rows.Next(dest); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return dest[0], nil
}

// readMark returns the number of the newest transaction.
func readMark(conn driver.Conn) (uint64, error) {
	v, err := oneValue(conn, "SELECT body FROM mark WHERE id = 1")
	if err != nil {
		return 0, err
	}
	body, ok := v.(string)
	if !ok {
		return 0, fmt.Errorf("the newest transaction's number is %v", v)
	}
	return markIn([]byte(body)), nil
}

// newestIn returns the number of the newest transaction in a database file that
// nobody has open.
func newestIn(path string) (uint64, error) {
	conn, err := (&sqlite3.SQLiteDriver{}).Open("file:" + path + "?mode=ro")
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return readMark(conn)
}

// hire starts an application on the site's database and returns what waits for
// its end.
func (s *site) hire(o order) (await func(context.Context) (report, error), err error) {
	return hire(s.db, s.dir, o)
}

func hire(db, dir string, o order) (func(context.Context) (report, error), error) {
	o.DB, o.Report = db, filepath.Join(dir, "report")
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p, err := start(os.Environ(), filepath.Join(dir, "application.log"), self, applicationCommand, string(text))
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (r report, err error) {
		select {
		case <-p.done:
		case <-ctx.Done():
			p.kill()
			return r, ctx.Err()
		}
		if p.err != nil {
			return r, p.ended()
		}
		f, err := os.Open(o.Report)
		if err != nil {
			return r, err
		}
		defer f.Close()
		return r, gob.NewDecoder(f).Decode(&r)
	}, nil
}

// run lets an application do o on the site's database.
func (s *site) run(ctx context.Context, o order) (report, error) {
	await, err := s.hire(o)
	if err != nil {
		return report{}, err
	}
	return await(ctx)
}
