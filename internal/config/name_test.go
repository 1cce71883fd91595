package config_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast/internal/config"
)

func TestCheckName(t *testing.T) {
	for _, row := range []struct {
		name, have string
		want       string // part of the error; empty for none
	}{
		{name: "one segment", have: "shop"},
		{name: "segments", have: "web-1/srv/shop.v2_x"},
		{name: "a segment of 63", have: strings.Repeat("a", 63)},
		{name: "200 characters", have: strings.Repeat("abcdefghi/", 19) + "abcdefghij"},
		{name: "nothing", have: "", want: "a part is empty"},
		{name: "two slashes", have: "a//b", want: "a part is empty"},
		{name: "a slash at the end", have: "a/", want: "a part is empty"},
		{name: "upper case", have: "Shop", want: `the part "Shop"`},
		{name: "a dot at the beginning", have: "a/..", want: `the part ".."`},
		{name: "a space", have: "my shop", want: `the part "my shop"`},
		{name: "a segment of 64", have: strings.Repeat("a", 64), want: "64 characters; choose one with 63 at most"},
		{name: "201 characters", have: strings.Repeat("abcdefghi/", 20) + "a", want: "201 characters; choose one with 200 at most"},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := config.CheckName(row.have)
			if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
				t.Errorf("got %v, want %q", err, row.want)
			}
		})
	}
}

func TestDefaultName(t *testing.T) {
	for _, row := range []struct{ have, want string }{
		{"/srv/shop.db", "shop"},
		{"/srv/Shop.SQLite3", "shop"},
		{"/srv/my shop (1).db", "my-shop-1-"},
		{"/srv/no-extension", "no-extension"},
		{"/srv/_private.db", "private"},
		{"/srv/a.b.db", "a.b"},
		{"/srv/" + strings.Repeat("x", 100) + ".db", strings.Repeat("x", 63)},
	} {
		got, err := config.DefaultName(row.have)
		if err != nil || got != row.want {
			t.Errorf("%s: got %q, %v; want %q", row.have, got, err, row.want)
		}
	}
	for _, have := range []string{"/srv/.db", "/srv/___.db", "/srv/日本.db"} {
		if got, err := config.DefaultName(have); err == nil || !strings.Contains(err.Error(), "give it one") {
			t.Errorf("%s: got %q, %v; want an error that says what to do", have, got, err)
		}
	}
}

func TestDefaultNamesAreNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.String().Draw(t, "path")
		if name, err := config.DefaultName(path); err == nil && config.CheckName(name) != nil {
			t.Fatalf("%q became %q: %v", path, name, config.CheckName(name))
		}
		if name, err := config.DefaultHost(path); err == nil && config.CheckHost(name) != nil {
			t.Fatalf("%q became the host %q: %v", path, name, config.CheckHost(name))
		}
	})
}

func TestSize(t *testing.T) {
	for _, row := range []struct {
		have string
		want config.Size
		text string
	}{
		{"64MiB", 64 << 20, "64MiB"},
		{"1GiB", 1 << 30, "1GiB"},
		{"1 TiB", 1 << 40, "1TiB"},
		{"10MB", 10e6, "10000000B"},
		{"4096", 4096, "4KiB"},
		{"100B", 100, "100B"},
		{"0", 0, "0B"},
	} {
		got, err := config.ParseSize(row.have)
		if err != nil || got != row.want || got.String() != row.text {
			t.Errorf("%s: got %d, %s, %v; want %d, %s", row.have, got, got, err, row.want, row.text)
		}
	}
	for _, have := range []string{"", "MiB", "-1", "1.5GiB", "9999999TiB", "64 mibs"} {
		if got, err := config.ParseSize(have); err == nil {
			t.Errorf("%q: got %d, want an error", have, got)
		}
	}
}

func TestSizesReadWhatTheyPrint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := config.Size(rapid.Int64Min(0).Draw(t, "size"))
		if got, err := config.ParseSize(size.String()); err != nil || got != size {
			t.Fatalf("%d printed as %s reads as %d, %v", size, size, got, err)
		}
	})
}
