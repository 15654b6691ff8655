package main

import (
	"log"
	"net/http"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/gorilla/mux"
)

// gateway is the server's HTTP side: routes, rewriting, public files. What happens to a request
// after that is `serve`, so that another back end (a ReverseProxy) can take the plugin's place.
type gateway struct {
	rules     rewriteRules
	publicDir string
	// active says whether the plugin runs; a plugin that is starting or stopping is a 404.
	active func() bool
	serve  func(c *pluginContext, w http.ResponseWriter, r *http.Request)
}

// router has channels.go's routes. gorilla/mux matches on the decoded path and answers a path that
// is not clean (`//`, `/./`, `..`) with a 301 itself, as in the server.
func (g gateway) router() http.Handler {
	root := mux.NewRouter()
	plugins := root.PathPrefix(g.rules.subpath).Subrouter().
		PathPrefix(`/plugins/{plugin_id:[A-Za-z0-9\_\-\.]+}`).Subrouter()
	plugins.HandleFunc("", g.plugin)
	plugins.HandleFunc("/public/{public_file:.*}", g.public)
	plugins.HandleFunc("/{anything:.*}", g.plugin)
	if g.rules.subpath != "/" {
		root.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.URL.Path = path.Join(g.rules.subpath, r.URL.Path)
			http.Redirect(w, r, r.URL.String(), http.StatusFound)
		})
	}
	return root
}

func (g gateway) plugin(w http.ResponseWriter, r *http.Request) {
	if mux.Vars(r)["plugin_id"] != g.rules.pluginID || !g.active() {
		http.NotFound(w, r)
		return
	}
	context := g.rules.rewrite(r)
	g.serve(&context, w, r)
}

// public serves the bundle's public folder; such a request never reaches the plugin.
func (g gateway) public(w http.ResponseWriter, r *http.Request) {
	prefix := path.Join(g.rules.subpath, "plugins", g.rules.pluginID, "public")
	file, below := strings.CutPrefix(path.Clean(r.URL.Path), prefix)
	if strings.HasSuffix(r.URL.Path, "/") || !below || !g.active() {
		http.NotFound(w, r)
		return
	}
	http.ServeFile(w, r, filepath.Join(g.publicDir, file))
}

// newServer has the server's time-outs. Mattermost speaks HTTP/2 over TLS only; here it is h2c, so
// that tests need no certificate.
func newServer(handler http.Handler, read, write time.Duration, hostLog *hostLog) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:      handler,
		ReadTimeout:  read,
		WriteTimeout: write,
		IdleTimeout:  60 * time.Second,
		ErrorLog:     log.New(hostLog.writer(fromHTTP, "error"), "", 0),
		Protocols:    &protocols,
	}
}
