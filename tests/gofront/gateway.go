package front

import (
	"log"
	"net/http"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/gorilla/mux"
)

// Gateway is the server's HTTP side: routes, rewriting, public files. What happens to a request
// after that is `Serve`, so that another back end (a ReverseProxy) can take the plugin's place.
type Gateway struct {
	Rules     Rules
	PublicDir string
	// Active says whether the plugin runs; a plugin that is starting or stopping is a 404.
	Active func() bool
	Serve  func(c *Context, w http.ResponseWriter, r *http.Request)
}

// Router has channels.go's routes. gorilla/mux matches on the decoded path and answers a path that
// is not clean (`//`, `/./`, `..`) with a 301 itself, as in the server.
func (g Gateway) Router() http.Handler {
	root := mux.NewRouter()
	plugins := root.PathPrefix(g.Rules.Subpath).Subrouter().
		PathPrefix(`/plugins/{plugin_id:[A-Za-z0-9\_\-\.]+}`).Subrouter()
	plugins.HandleFunc("", g.plugin)
	plugins.HandleFunc("/public/{public_file:.*}", g.public)
	plugins.HandleFunc("/{anything:.*}", g.plugin)
	if g.Rules.Subpath != "/" {
		root.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.URL.Path = path.Join(g.Rules.Subpath, r.URL.Path)
			http.Redirect(w, r, r.URL.String(), http.StatusFound)
		})
	}
	return root
}

func (g Gateway) plugin(w http.ResponseWriter, r *http.Request) {
	if mux.Vars(r)["plugin_id"] != g.Rules.PluginID || !g.Active() {
		http.NotFound(w, r)
		return
	}
	context := g.Rules.Rewrite(r)
	g.Serve(&context, w, r)
}

// public serves the bundle's public folder; such a request never reaches the plugin.
func (g Gateway) public(w http.ResponseWriter, r *http.Request) {
	prefix := path.Join(g.Rules.Subpath, "plugins", g.Rules.PluginID, "public")
	file, below := strings.CutPrefix(path.Clean(r.URL.Path), prefix)
	if strings.HasSuffix(r.URL.Path, "/") || !below || !g.Active() {
		http.NotFound(w, r)
		return
	}
	http.ServeFile(w, r, filepath.Join(g.PublicDir, file))
}

// NewServer has the server's time-outs. Mattermost speaks HTTP/2 over TLS only; here it is h2c, so
// that tests need no certificate.
func NewServer(handler http.Handler, read, write time.Duration, hostLog *Log) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:      handler,
		ReadTimeout:  read,
		WriteTimeout: write,
		IdleTimeout:  60 * time.Second,
		ErrorLog:     log.New(hostLog.Writer(FromHTTP, "error"), "", 0),
		Protocols:    &protocols,
	}
}
