// Package front is the server's HTTP side for the test hosts: routes, the rewriting of requests, the
// host's log, its event lines and the JSON of its control API. What stands behind it is the host's.
package front

import (
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"io"
	"net"
	"net/http"
	"path"
	"strings"
)

// What the server does to a request before a plugin sees it (plugin_requests.go). Pure but for
// the body that the CSRF check reads.

const (
	sessionCookie  = "MMAUTHTOKEN"
	UserIDHeader   = "Mattermost-User-Id"
	PluginIDHeader = "Mattermost-Plugin-ID"
)

// Context is what plugin_context carries.
type Context struct {
	SessionID, RequestID, IPAddress, AcceptLanguage, UserAgent string
}

// session is a fake login. Tokens are `token-<user>`, or `mfa-<user>` for a user who still has to
// set up MFA; the user's CSRF token is `csrf-<user>`.
type session struct {
	id, userID, csrf string
	needsMFA         bool
}

func findSession(token string) *session {
	for _, prefix := range []string{"token-", "mfa-"} {
		if user, ok := strings.CutPrefix(token, prefix); ok && user != "" {
			return &session{
				id: "session-" + user, userID: user, csrf: "csrf-" + user, needsMFA: prefix == "mfa-",
			}
		}
	}
	return nil
}

// Rules are what the rewriting depends on.
type Rules struct {
	PluginID, Subpath  string
	StrictCSRF         bool
	TrustedProxyHeader []string
}

// Rewrite strips and sets what the host strips and sets, in the host's order.
func (rules Rules) Rewrite(r *http.Request) Context {
	context := Context{
		RequestID:      NewID(),
		IPAddress:      ipAddress(r, rules.TrustedProxyHeader),
		AcceptLanguage: r.Header.Get("Accept-Language"),
		UserAgent:      r.UserAgent(),
	}
	token, byCookie := authToken(r)

	r.Header.Del(PluginIDHeader)
	r.Header.Del(UserIDHeader)
	rebuildCookies(r)
	r.Header.Del("Referer")
	// url.Values sorts and re-encodes: the original query lives on in RequestURI only.
	query := r.URL.Query()
	query.Del("access_token")
	r.URL.RawQuery = query.Encode()
	// Trimmed on the decoded path. RawPath stays, so URL.String() finds that it does not fit any
	// more and encodes the path anew: %2F is lost.
	r.URL.Path = strings.TrimPrefix(r.URL.Path, path.Join(rules.Subpath, "plugins", rules.PluginID))

	login := findSession(token)
	if login == nil {
		return context
	}
	// A valid token never reaches the plugin, also where MFA or CSRF fail below.
	r.Header.Del("Authorization")
	if login.needsMFA {
		return context
	}
	if csrfPasses(r, login, byCookie, rules.StrictCSRF) {
		r.Header.Set(UserIDHeader, login.userID)
		context.SessionID = login.id
	}
	return context
}

// authToken looks at Authorization first: with a Bearer there, right or wrong, the cookie does
// not count any more.
func authToken(r *http.Request) (token string, byCookie bool) {
	header := r.Header.Get("Authorization")
	if len(header) >= 7 && strings.EqualFold(header[:7], "BEARER ") {
		return header[7:], false
	}
	if len(header) >= 6 && strings.EqualFold(header[:6], "token ") {
		return header[6:], false
	}
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		return cookie.Value, true
	}
	return r.URL.Query().Get("access_token"), false
}

// rebuildCookies parses and writes the Cookie header anew: malformed pairs vanish, quotes may
// change, all of them end up in one header.
func rebuildCookies(r *http.Request) {
	cookies := r.Cookies()
	r.Header.Del("Cookie")
	for _, cookie := range cookies {
		if cookie.Name != sessionCookie {
			r.AddCookie(cookie)
		}
	}
}

// csrfPasses decides whether a logged-in request keeps its user. Without an X-CSRF-Token header
// the whole body is read into memory to look for a form field; FormValue looks into the query too.
func csrfPasses(r *http.Request, login *session, byCookie, strict bool) bool {
	if !byCookie || r.Method == http.MethodGet {
		return true
	}
	token := r.Header.Get("X-CSRF-Token")
	if token == "" {
		// A body that cannot be read whole is passed on as far as it came, as if it were all.
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		_ = r.ParseForm()
		token = r.FormValue("csrf")
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	if token == login.csrf {
		return true
	}
	return r.Header.Get("X-Requested-With") == "XMLHttpRequest" && !strict
}

// ipAddress is the first word of a trusted proxy header, else the peer.
func ipAddress(r *http.Request, trusted []string) string {
	for _, name := range trusted {
		if words := strings.Fields(r.Header.Get(name)); len(words) > 0 {
			if address := strings.TrimRight(words[0], ","); address != "" {
				return address
			}
		}
	}
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	return host
}

// NewID looks like model.NewId: 26 characters of z-base-32.
func NewID() string {
	random := make([]byte, 16)
	_, _ = rand.Read(random)
	return zBase32.EncodeToString(random)
}

var zBase32 = base32.NewEncoding("ybndrfg8ejkmcpqxot1uwisza345h769").WithPadding(base32.NoPadding)
