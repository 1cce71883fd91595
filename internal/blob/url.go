package blob

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Schemes of replica URLs.
const (
	SchemeAzure = "abs"
	SchemeFile  = "file"
)

// usage ends the errors for which a whole example helps most.
const usage = "write abs://account@container/path or file:///path"

// URL says where a replica is. It never holds a secret: those come from the
// environment or from files. Equal URLs name the same place.
type URL struct {
	Scheme    string
	Account   string // abs: storage account; empty leaves it to the credentials
	Container string // abs
	Path      string // abs: relative, may be empty; file: absolute. Clean, no slash at the end
	Endpoint  string // abs: of the blob service, when it is not Azure's own; no slash at the end
}

var (
	containerName = regexp.MustCompile(`^[a-z0-9](-?[a-z0-9]){2,62}$`)
	accountName   = regexp.MustCompile(`^[a-z0-9]{3,24}$`)
	plainWord     = regexp.MustCompile(`^[a-z0-9_-]{1,20}$`)
)

// ParseURL reads abs://[account@]container[/path][?endpoint=URL] or file:///path.
// Errors match ErrConfig and never repeat a part of s that could be a secret.
func ParseURL(s string) (URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		// The parser's own message quotes s, which may hold a key.
		return URL{}, badURL("not a URL, or one with a key in it; " + usage)
	}
	if strings.Contains(s, "#") {
		return URL{}, badURL("has a fragment; write # in a path as %23")
	}
	switch u.Scheme {
	case SchemeAzure:
		return parseAzure(u)
	case SchemeFile:
		return parseFile(u)
	case "":
		return URL{}, badURL("no scheme; " + usage)
	}
	if !plainWord.MatchString(u.Scheme) {
		return URL{}, badURL("unknown scheme; " + usage)
	}
	return URL{}, badURL(fmt.Sprintf("unknown scheme %q; %s", u.Scheme, usage))
}

func badURL(why string) error { return fmt.Errorf("%w: replica URL: %s", ErrConfig, why) }

func parseAzure(u *url.URL) (URL, error) {
	endpoint, err := parseQuery(u)
	if err != nil {
		return URL{}, err
	}
	if _, has := u.User.Password(); has {
		return URL{}, badURL("holds a password; put the account key into AZURE_STORAGE_KEY")
	}
	account := u.User.Username()
	switch {
	case u.Opaque != "" || u.Host == "":
		return URL{}, badURL("no container; " + usage)
	case !containerName.MatchString(u.Host) || len(u.Host) > 63:
		return URL{}, badURL("bad container name; write 3 to 63 lower-case letters, digits and single hyphens")
	case u.User != nil && !accountName.MatchString(account):
		return URL{}, badURL("bad account name before the @; write 3 to 24 lower-case letters and digits")
	}
	clean, err := cleanPath(u)
	if err != nil {
		return URL{}, err
	}
	return URL{
		Scheme: SchemeAzure, Account: account, Container: u.Host,
		Path: strings.TrimPrefix(clean, "/"), Endpoint: endpoint,
	}, nil
}

func parseFile(u *url.URL) (URL, error) {
	switch {
	case u.User != nil || u.RawQuery != "" || u.ForceQuery:
		return URL{}, badURL("a file URL has neither account nor query; write file:///path")
	case u.Host != "" || u.Opaque != "":
		return URL{}, badURL("a file URL needs an absolute path after three slashes; write file:///path")
	}
	clean, err := cleanPath(u)
	if err != nil {
		return URL{}, err
	}
	if clean == "/" {
		return URL{}, badURL("no path; write file:///path")
	}
	return URL{Scheme: SchemeFile, Path: clean}, nil
}

func cleanPath(u *url.URL) (string, error) {
	if !utf8.ValidString(u.Path) || strings.ContainsFunc(u.Path, unsafeInKey) {
		return "", badURL("the path has a control character, a backslash or bytes that are not UTF-8; choose another path")
	}
	return path.Clean("/" + u.Path), nil
}

// parseQuery accepts an endpoint and nothing else, a SAS least of all.
func parseQuery(u *url.URL) (endpoint string, err error) {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return "", badURL("bad query; write nothing there but endpoint=URL")
	}
	if query.Has("sig") {
		return "", badURL("holds a SAS; put it into AZURE_STORAGE_SAS_TOKEN")
	}
	for key, values := range query {
		switch {
		case key != "endpoint" && plainWord.MatchString(key):
			return "", badURL(fmt.Sprintf("unknown query %q; write nothing there but endpoint=URL", key))
		case key != "endpoint":
			return "", badURL("unknown query; write nothing there but endpoint=URL")
		case len(values) > 1:
			return "", badURL("more than one endpoint; keep one")
		}
	}
	if !query.Has("endpoint") {
		return "", nil
	}
	return ParseEndpoint(query.Get("endpoint"))
}

// ParseEndpoint checks the address of a blob service, such as Azurite's
// http://127.0.0.1:10000/devstoreaccount1, and returns it without the slash at
// its end. Like ParseURL it refuses secrets and does not repeat them.
func ParseEndpoint(s string) (string, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return "", badURL("bad endpoint; write for example endpoint=http://127.0.0.1:10000/devstoreaccount1")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(s, "#"):
		return "", badURL("the endpoint may have neither user, query nor fragment; put secrets into AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN")
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// String returns the URL as ParseURL reads it.
func (u URL) String() string {
	out := url.URL{Scheme: u.Scheme, Host: u.Container, Path: "/" + strings.TrimPrefix(u.Path, "/")}
	if u.Path == "" {
		out.Path = ""
	}
	if u.Account != "" {
		out.User = url.User(u.Account)
	}
	if u.Endpoint != "" {
		readable := strings.NewReplacer("%3A", ":", "%2F", "/")
		out.RawQuery = "endpoint=" + readable.Replace(url.QueryEscape(u.Endpoint))
	}
	return out.String()
}

// Join returns the URL of name below u. The segments of name are taken as they
// are; one that is empty or made of dots changes nothing, so that the result
// is never outside u.
func (u URL) Join(name string) URL {
	below := path.Clean("/" + name)
	u.Path = path.Join(u.Path, below)
	if u.Scheme == SchemeAzure {
		u.Path = strings.TrimPrefix(u.Path, "/")
	}
	return u
}
