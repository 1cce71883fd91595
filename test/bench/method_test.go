package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	sqlite3 "github.com/mattn/go-sqlite3"
	"github.com/superfly/ltx"
)

// mustObject makes an LTX file of the pages, all of them if it begins at TXID 1.
// Page 2 bears the number mark.
func mustObject(t *testing.T, from ltx.TXID, mark uint64, pages ...uint32) []byte {
	t.Helper()
	var b bytes.Buffer
	e, err := ltx.NewEncoder(&b)
	must(t, err)
	must(t, e.EncodeHeader(ltx.Header{Version: ltx.Version, Flags: ltx.HeaderFlagNoChecksum, PageSize: 4096, Commit: 3, MinTXID: from, MaxTXID: from}))
	for _, number := range pages {
		page := make([]byte, 4096)
		if number == markPage {
			copy(page[3000:], markText(mark))
		}
		must(t, e.EncodePage(ltx.PageHeader{Pgno: number}, page))
	}
	must(t, e.Close())
	return b.Bytes()
}

func TestFindsTheNewestTransactionOfAnObject(t *testing.T) {
	for _, row := range []struct {
		name         string
		object       []byte
		wantMark     uint64
		wantSnapshot bool
	}{
		{"all pages", mustObject(t, 1, 7, 1, 2, 3), 7, true},
		{"the marked page alone", mustObject(t, 5, 8, 2), 8, false},
		{"a later page", mustObject(t, 5, 8, 3), 0, false},
		{"cut before the marked page", mustObject(t, 1, 7, 1, 2, 3)[:ltx.HeaderSize+12], 0, true},
		{"no LTX file", []byte("PK"), 0, false},
	} {
		if mark, snapshot := look(row.object); mark != row.wantMark || snapshot != row.wantSnapshot {
			t.Errorf("%s: got %d, %t, want %d, %t", row.name, mark, snapshot, row.wantMark, row.wantSnapshot)
		}
	}
}

func TestLagEndsWithTheFirstPutThatHoldsTheTransaction(t *testing.T) {
	at := func(ms int64) time.Time { return time.UnixMilli(ms) }
	r := report{First: 4, Ended: []int64{10e6, 20e6, 30e6}}
	puts := []put{{at: at(5), mark: 3}, {at: at(28), mark: 5}, {at: at(29), mark: 0}, {at: at(37), mark: 6}}
	got, err := lagsOf(r, puts)
	must(t, err)
	if want := []float64{18, 8, 7}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, err := lagsOf(r, puts[:3]); err == nil {
		t.Error("no error for a transaction that was never put")
	}
}

// TestSeesWhatTheStoreHasTaken puts one object whole, one in two blocks, and one
// that the store refuses.
func TestSeesWhatTheStoreHasTaken(t *testing.T) {
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if strings.Contains(r.URL.Path, "refused") {
			w.WriteHeader(http.StatusConflict)
			return
		}
		w.WriteHeader(http.StatusCreated)
	}))
	defer store.Close()
	const away = 20 * time.Millisecond
	w, err := newWatch(store.URL+"/account", away)
	must(t, err)
	defer w.close()
	begin := time.Now()
	object := mustObject(t, 5, 8, 2)
	mustPut(t, w.url+"/c/whole.ltx", object)
	mustPut(t, w.url+"/c/refused.ltx", object)
	first, second := base64.StdEncoding.EncodeToString([]byte("1")), base64.StdEncoding.EncodeToString([]byte("2"))
	mustPut(t, w.url+"/c/blocks.ltx?comp=block&blockid="+second, []byte("rest"))
	mustPut(t, w.url+"/c/blocks.ltx?comp=block&blockid="+first, object)
	mustPut(t, w.url+"/c/blocks.ltx?comp=blocklist", fmt.Appendf(nil, "<BlockList><Latest>%s</Latest><Latest>%s</Latest></BlockList>", first, second))
	puts, _ := w.all()
	var got []string
	for _, p := range puts {
		got = append(got, fmt.Sprintf("%s %d %d", p.key, p.mark, p.size-int64(len(object))))
	}
	if want := []string{"/account/c/whole.ltx 8 0", "/account/c/blocks.ltx 8 4"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if took := puts[0].at.Sub(begin); took < away {
		t.Errorf("the first put took %v with a store %v away", took, away)
	}
}

func mustPut(t *testing.T, url string, body []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, bytes.NewReader(body))
	must(t, err)
	answer, err := http.DefaultClient.Do(r)
	must(t, err)
	must(t, answer.Body.Close())
}

// holderVariable makes this test binary hold the write lock of the database that
// it names.
const holderVariable = "HOLDFAST_TEST_BENCH_HOLD"

const holdFor = 100 * time.Millisecond

func holdWriteLock(db string) error {
	conn, err := (&sqlite3.SQLiteDriver{}).Open("file:" + db + "?_journal_mode=WAL")
	if err != nil {
		return err
	}
	a := &app{conn: conn}
	if err := a.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	time.Sleep(holdFor)
	if err := a.exec("ROLLBACK"); err != nil {
		return err
	}
	time.Sleep(holdFor)
	return conn.Close()
}

func TestSeesWhoHoldsTheWriteLock(t *testing.T) {
	self, err := os.Executable()
	must(t, err)
	db := filepath.Join(t.TempDir(), "app.db")
	holder := exec.Command(self)
	holder.Env = append(os.Environ(), holderVariable+"="+db)
	must(t, holder.Start())
	one, other := guard(db, holder.Process.Pid), guard(db, os.Getpid())
	must(t, holder.Wait())
	must(t, one.relieve())
	must(t, other.relieve())
	if len(one.holds) == 0 {
		t.Errorf("no hold of the holder, want one of about %v", holdFor)
	}
	if len(other.holds) != 0 {
		t.Errorf("holds of somebody else: %v ms, want none", other.holds)
	}
}

func TestJudges(t *testing.T) {
	for _, row := range []struct {
		name        string
		ours, peers []float64
		target      target
		want        string
	}{
		{"faster", []float64{1, 3, 9}, []float64{4}, faster, met},
		{"as fast is not faster", []float64{4}, []float64{4}, faster, notMet},
		{"a little slower", []float64{4.1}, []float64{4}, notSlower, met},
		{"slower", []float64{4.3}, []float64{4}, notSlower, notMet},
		{"at a limit", []float64{1.2}, nil, atMost(1.2, ""), met},
		{"at a limit that is not to be reached", []float64{100}, nil, below(100, ""), notMet},
		{"less than there must be", []float64{0.69}, nil, atLeast(0.7, ""), notMet},
		{"no target", []float64{1}, []float64{1}, noTarget, ""},
	} {
		l := line{Holdfast: row.ours, Peer: row.peers}
		l.judge(row.target)
		if l.Verdict != row.want {
			t.Errorf("%s: got %q, want %q", row.name, l.Verdict, row.want)
		}
	}
}

func TestQuantiles(t *testing.T) {
	values := []float64{4, 1, 3, 2}
	for q, want := range map[float64]float64{0: 1, 0.5: 2.5, 1: 4} {
		if got := quantile(values, q); got != want {
			t.Errorf("quantile %g of %v: got %g, want %g", q, values, got, want)
		}
	}
}
