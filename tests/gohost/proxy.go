package main

import (
	"context"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"time"

	front "mm_asgi/gofront"
)

// newProxy is what a plugin does that starts an HTTP server of its own: the same gateway, and
// behind it a ReverseProxy over keep-alive connections to `unix:PATH` or HOST:PORT.
func newProxy(target string, hostLog *hostLog) http.Handler {
	network, address := "tcp", target
	if path, isUnix := strings.CutPrefix(target, "unix:"); isUnix {
		network, address = "unix", path
	}
	var dialer net.Dialer
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", "plugin"
			if r.Out.URL.Path == "" {
				r.Out.URL.Path = "/"
			}
			r.Out.Host = r.In.Host
		},
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, address)
			},
			// The default of 2 would open a connection for nearly every request.
			MaxIdleConnsPerHost: 4096,
			IdleConnTimeout:     60 * time.Second,
			DisableCompression:  true,
			// Sizes of the bridge's own chunks, so that large bodies cost both roads as many calls.
			ReadBufferSize:  chunkSize,
			WriteBufferSize: chunkSize,
		},
		BufferPool: &chunkPool{},
		ErrorLog:   log.New(hostLog.Writer(front.FromHTTP, "error"), "", 0),
	}
}

// chunkPool lends ReverseProxy its copy buffers; without one it makes 32 KiB for each answer.
type chunkPool struct{ pool sync.Pool }

func (p *chunkPool) Get() []byte {
	if buffer, ok := p.pool.Get().(*[]byte); ok {
		return *buffer
	}
	return make([]byte, chunkSize)
}

func (p *chunkPool) Put(buffer []byte) { p.pool.Put(&buffer) }
