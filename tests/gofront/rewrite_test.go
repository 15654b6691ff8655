package front

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

var demo = Rules{PluginID: "com.example.demo", Subpath: "/mm"}

// parse reads a request as net/http's server does.
func parseRequest(t *testing.T, text string) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n"))))
	if err != nil {
		t.Fatal(err)
	}
	r.RemoteAddr = "10.1.2.3:4567"
	return r
}

func get(t *testing.T, target string, headers ...string) *http.Request {
	t.Helper()
	return parseRequest(t, "GET "+target+" HTTP/1.1\nHost: chat\n"+strings.Join(append(headers, "\n"), "\n"))
}

func post(t *testing.T, body string, headers ...string) *http.Request {
	t.Helper()
	r := parseRequest(t, "POST /mm/plugins/com.example.demo/x HTTP/1.1\nHost: chat\n"+strings.Join(append(headers, "\n"), "\n"))
	r.Body = io.NopCloser(strings.NewReader(body))
	return r
}

func TestURLIsTrimmedAndItsQuerySorted(t *testing.T) {
	for target, want := range map[string]string{
		"/mm/plugins/com.example.demo/a?b=1&a=2&flag&access_token=t": "/a?a=2&b=1&flag=",
		"/mm/plugins/com.example.demo/a%2Fb":                         "/a/b",
		"/mm/plugins/com.example.d%65mo/x":                           "/x",
		"/mm/plugins/com.example.demo":                               "",
		"http://evil/mm/plugins/com.example.demo/x":                  "http://evil/x",
	} {
		r := get(t, target)
		demo.Rewrite(r)
		if got := r.URL.String(); got != want {
			t.Errorf("%s: url %q, want %q", target, got, want)
		}
		if r.RequestURI != target {
			t.Errorf("%s: request_uri %q", target, r.RequestURI)
		}
	}
}

func TestHeadersAreStrippedAndCookiesRebuilt(t *testing.T) {
	r := get(t, "/mm/plugins/com.example.demo/", "Cookie: MMAUTHTOKEN=token-joe; a=1; broken name=2; MMCSRF=c",
		"Cookie: b=2", "Referer: x", "Mattermost-User-Id: evil", "Mattermost-Plugin-ID: evil", "Mattermost_User_Id: evil")
	context := demo.Rewrite(r)
	if got := r.Header["Cookie"]; len(got) != 1 || got[0] != "a=1; MMCSRF=c; b=2" {
		t.Errorf("cookies %q", got)
	}
	if r.Header.Get("Referer") != "" || r.Header.Get(PluginIDHeader) != "" {
		t.Errorf("headers %v", r.Header)
	}
	if r.Header.Get(UserIDHeader) != "joe" || context.SessionID != "session-joe" || context.IPAddress != "10.1.2.3" {
		t.Errorf("identity %v %v", r.Header, context)
	}
	if r.Header.Get("Mattermost_user_id") != "evil" {
		t.Error("a name with an underscore passes through the host")
	}
}

func TestWhoIsLoggedIn(t *testing.T) {
	target := "/mm/plugins/com.example.demo/"
	for name, one := range map[string]struct {
		r          *http.Request
		user, auth string
	}{
		"bearer":       {get(t, target, "Authorization: bearer token-joe"), "joe", ""},
		"token":        {get(t, target, "Authorization: Token token-joe"), "joe", ""},
		"query":        {get(t, target+"?access_token=token-joe"), "joe", ""},
		"wrong bearer": {get(t, target, "Authorization: Bearer mine", "Cookie: MMAUTHTOKEN=token-joe"), "", "Bearer mine"},
		"basic":        {get(t, target, "Authorization: Basic x", "Cookie: MMAUTHTOKEN=token-joe"), "joe", ""},
		"needs mfa":    {get(t, target, "Authorization: Bearer mfa-joe"), "", ""},
	} {
		demo.Rewrite(one.r)
		if got := one.r.Header.Get(UserIDHeader); got != one.user {
			t.Errorf("%s: user %q, want %q", name, got, one.user)
		}
		if got := one.r.Header.Get("Authorization"); got != one.auth {
			t.Errorf("%s: authorization %q, want %q", name, got, one.auth)
		}
	}
}

func TestCSRF(t *testing.T) {
	const cookie = "Cookie: MMAUTHTOKEN=token-joe"
	const form = "Content-Type: application/x-www-form-urlencoded"
	strict := demo
	strict.StrictCSRF = true
	head := get(t, "/mm/plugins/com.example.demo/", cookie)
	head.Method = http.MethodHead
	inQuery := post(t, "", cookie)
	inQuery.URL.RawQuery = "csrf=csrf-joe"
	for name, one := range map[string]struct {
		rules Rules
		r     *http.Request
		user  string
	}{
		"nothing":         {demo, post(t, "x", cookie), ""},
		"head":            {demo, head, ""},
		"header":          {strict, post(t, "x", cookie, "X-CSRF-Token: csrf-joe"), "joe"},
		"wrong header":    {demo, post(t, "csrf=csrf-joe", cookie, form, "X-CSRF-Token: no"), ""},
		"form":            {demo, post(t, "a=1&csrf=csrf-joe", cookie, form), "joe"},
		"query":           {demo, inQuery, "joe"},
		"xhr":             {demo, post(t, "x", cookie, "X-Requested-With: XMLHttpRequest"), "joe"},
		"xhr when strict": {strict, post(t, "x", cookie, "X-Requested-With: XMLHttpRequest"), ""},
		"bearer":          {strict, post(t, "x", "Authorization: Bearer token-joe"), "joe"},
	} {
		before, _ := io.ReadAll(one.r.Body)
		one.r.Body = io.NopCloser(strings.NewReader(string(before)))
		one.rules.Rewrite(one.r)
		if got := one.r.Header.Get(UserIDHeader); got != one.user {
			t.Errorf("%s: user %q, want %q", name, got, one.user)
		}
		if after, _ := io.ReadAll(one.r.Body); string(after) != string(before) {
			t.Errorf("%s: body %q, was %q", name, after, before)
		}
	}
}

func TestRoutes(t *testing.T) {
	public := t.TempDir()
	served := func(_ *Context, w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) }
	router := Gateway{demo, public, func() bool { return true }, served}.Router()
	for target, want := range map[string]struct {
		code int
		text string
	}{
		"/mm/plugins/com.example.demo":           {200, ""},
		"/mm/plugins/com.example.demo/a/b":       {200, "/a/b"},
		"/mm/plugins/com.example.d%65mo/a%2Fb":   {200, "/a/b"},
		"/mm/plugins/com.example.demo/public":    {200, "/public"},
		"/mm/plugins/com.example.demo/public/no": {404, "404 page not found\n"},
		"/mm/plugins/com.example.demo/public/":   {404, "404 page not found\n"},
		// `.*` matches no newline, and under a subpath the root's 404 is a redirect into it.
		"/mm/plugins/com.example.demo/x%0Ay":      {302, "<a href=\"/mm/mm/plugins/com.example.demo/x%0Ay\">Found</a>.\n\n"},
		"/mm/plugins/com.example.demo/a//b":       {301, ""},
		"/mm/plugins/com.example.demo/a/../b":     {301, ""},
		"/mm/plugins/com.example.demo/a/%2e%2e/b": {301, ""},
		"/mm/plugins/other/a":                     {404, "404 page not found\n"},
		"/plugins/com.example.demo/a":             {302, "<a href=\"/mm/plugins/com.example.demo/a\">Found</a>.\n\n"},
	} {
		address, err := url.ParseRequestURI(target)
		if err != nil {
			t.Fatal(err)
		}
		recorder := httptest.NewRecorder()
		router.ServeHTTP(recorder, &http.Request{Method: http.MethodGet, URL: address, Header: http.Header{}, Body: http.NoBody, RequestURI: target})
		if recorder.Code != want.code || recorder.Body.String() != want.text {
			t.Errorf("%s: %d %q, want %d %q", target, recorder.Code, recorder.Body, want.code, want.text)
		}
	}
}
