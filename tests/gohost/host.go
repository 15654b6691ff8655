package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	front "mm_asgi/gofront"
)

// host keeps one plugin as environment.go does: start, activate, serve, deactivate, stop.
type host struct {
	settings settings
	log      *hostLog
	events   *events
	server   *http.Server
	counts   bridgeCounts
	api      *apiServer // nil without -api

	lock  sync.Mutex
	child *child // nil in `gohost raw`
	conn  *grpc.ClientConn
	hooks *hooks

	// active is what HTTP requests see. The server sets it after OnActivate has succeeded and
	// clears it before OnDeactivate: no HTTP request ever meets a plugin outside of that.
	active atomic.Pointer[hooks]

	healthLock sync.Mutex
	health     healthCheck
}

// stageError says how far a start came.
type stageError struct {
	stage string
	err   error
}

func (e stageError) Error() string { return e.err.Error() }

// start runs the plugin up to `ready`. On an error the process is killed, as the supervisor does.
func (h *host) start() (object, error) {
	began := time.Now()
	conn, err := h.connect()
	if err != nil {
		return h.fail("start", err)
	}
	facts := object{"pid": h.pid(), "handshake_ms": front.MS(began)}
	h.events.Emit("started", facts)
	hooks := newHooks(conn, h.log, h.settings.hookTimeout)
	h.lock.Lock()
	h.hooks = hooks
	h.lock.Unlock()

	facts["implemented"] = []string{}
	facts["activate_ms"] = 0.0
	if h.settings.noActivate {
		hooks.all = true
	} else {
		asked := time.Now()
		names, err := hooks.learn()
		facts["implemented_ms"] = front.MS(asked)
		if err != nil {
			return h.fail("implemented", err)
		}
		if names != nil {
			facts["implemented"] = names
		}
		activated := time.Now()
		err = hooks.lifecycle("OnActivate")
		facts["activate_ms"] = front.MS(activated)
		if err != nil {
			return h.fail("activate", err)
		}
	}
	h.active.Store(hooks)
	return facts, nil
}

func (h *host) connect() (*grpc.ClientConn, error) {
	if h.settings.target != "" {
		conn, err := grpc.NewClient(h.settings.target,
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)))
		if err == nil {
			conn.Connect()
		}
		h.lock.Lock()
		h.conn = conn
		h.lock.Unlock()
		return conn, err
	}
	child, err := startChild(h.settings.child, h.log)
	h.lock.Lock()
	h.child, h.conn = child, child.conn
	h.lock.Unlock()
	if err != nil {
		return nil, err
	}
	go func() {
		defer close(child.announced)
		<-child.exited
		h.events.Emit("exited", child.fate())
	}()
	return child.conn, nil
}

func (h *host) fail(stage string, err error) (object, error) {
	if stage != "activate" {
		// environment.go wraps what newSupervisor returns, but not OnActivate's error.
		err = fmt.Errorf("unable to start plugin: %s: %w", h.settings.rules.PluginID, err)
	}
	return h.kill(), stageError{stage, err}
}

// kill ends the process without OnDeactivate; the host goes on believing that the plugin is there.
func (h *host) kill() object {
	h.lock.Lock()
	child, conn := h.child, h.conn
	h.lock.Unlock()
	switch {
	case child != nil:
		facts := child.kill()
		if child.conn != nil {
			<-child.announced // so that `exited` always comes before `stopped`
		}
		return facts
	case conn != nil:
		_ = conn.Close()
	}
	return object{}
}

// deactivate is what an admin's click does: OnDeactivate with its 30 s, then Kill.
func (h *host) deactivate() object {
	began := time.Now()
	hooks := h.active.Swap(nil)
	facts := object{"error": nil}
	if hooks != nil {
		facts["error"] = text(hooks.lifecycle("OnDeactivate"))
	}
	facts["deactivate_ms"] = front.MS(began)
	return h.ended(facts, began)
}

type stopOrder struct {
	// HTTPFirst: server.go stops its HTTP server (1 s, then all connections are cut) before it
	// comes to the plugins.
	HTTPFirst bool  `json:"http_first"`
	WaitMS    int64 `json:"wait_ms"`
}

// stop is the end of the whole server: it waits 10 s for OnDeactivate, whose own deadline still
// says 30 s, and then kills.
func (h *host) stop(order stopOrder) object {
	began := time.Now()
	facts := object{"error": nil, "timed_out": false}
	if order.HTTPFirst {
		h.stopHTTP()
		facts["http_ms"] = front.MS(began)
	}
	asked := time.Now()
	if hooks := h.active.Swap(nil); hooks != nil {
		done := make(chan error, 1)
		go func() { done <- hooks.lifecycle("OnDeactivate") }()
		select {
		case err := <-done:
			facts["error"] = text(err)
		case <-time.After(time.Duration(order.WaitMS) * time.Millisecond):
			facts["timed_out"] = true
			h.log.Host("warn", "Plugin OnDeactivate() failed to complete in 10 seconds")
		}
	}
	facts["deactivate_ms"] = front.MS(asked)
	return h.ended(facts, began)
}

func (h *host) ended(facts object, began time.Time) object {
	for key, value := range h.kill() {
		facts[key] = value
	}
	facts["ms"] = front.MS(began)
	return facts
}

func (h *host) stopHTTP() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = h.server.Shutdown(ctx)
	_ = h.server.Close()
}

// ping is supervisor.go's: no deadline.
func (h *host) ping() error {
	h.lock.Lock()
	child, conn := h.child, h.conn
	h.lock.Unlock()
	switch {
	case child != nil && child.protocol != nil:
		return child.protocol.Ping()
	case conn != nil:
		_, err := grpc_health_v1.NewHealthClient(conn).Check(context.Background(),
			&grpc_health_v1.HealthCheckRequest{Service: "plugin"})
		return err
	}
	return front.ErrNoPlugin
}

// serveHTTP is the gateway's back end.
func (h *host) serveHTTP(c *pluginContext, w http.ResponseWriter, r *http.Request) {
	hooks := h.active.Load()
	if hooks == nil {
		http.NotFound(w, r)
		return
	}
	hooks.serveHTTP(c, w, r, &h.counts)
}

// current gives hooks and connection from the handshake on, also before OnActivate.
func (h *host) current() (*hooks, *grpc.ClientConn, error) {
	h.lock.Lock()
	defer h.lock.Unlock()
	if h.hooks == nil || h.conn == nil {
		return nil, nil, front.ErrNoPlugin
	}
	return h.hooks, h.conn, nil
}

func (h *host) pid() int {
	h.lock.Lock()
	defer h.lock.Unlock()
	if h.child == nil {
		return 0
	}
	return h.child.pid
}

func text(err error) any {
	if err == nil {
		return nil
	}
	return err.Error()
}
