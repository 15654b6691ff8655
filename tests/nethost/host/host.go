package main

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mattermost/mattermost/server/public/model"
	"github.com/mattermost/mattermost/server/public/plugin"
	"github.com/mattermost/mattermost/server/public/shared/mlog"

	front "mm_asgi/gofront"
)

// host is a server of one plugin: the real environment, and net/http before it.
type host struct {
	settings    settings
	log         *front.Log
	events      *front.Events
	logger      *mlog.Logger
	noted       *notes
	environment *plugin.Environment
	server      *http.Server
	api         *serverAPI
	open        atomic.Int64 // HTTP requests that the plugin has
	opened      atomic.Int64

	// One order at a time: a start, a deactivation, a round of the health check.
	order sync.Mutex
	job   *plugin.PluginHealthCheckJob

	flushing sync.Mutex

	listedLock sync.Mutex
	listed     map[string]bool
}

// stageError says how far a start came.
type stageError struct {
	stage string
	err   error
}

func (e stageError) Error() string { return e.err.Error() }

func newHost(s settings, log *front.Log, events *front.Events) (*host, error) {
	h := &host{settings: s, log: log, events: events, noted: newNotes()}
	var err error
	if h.logger, err = newLogger(log, h.noted); err != nil {
		return nil, err
	}
	h.api = newServerAPI(newState(s.bundle.id, log, func() *plugin.Environment { return h.environment }))
	h.environment, err = plugin.NewEnvironment(
		func(*model.Manifest) plugin.API { return h.api },
		noDatabase{}, filepath.Join(s.folder, "plugins"), filepath.Join(s.folder, "webapp"), h.logger, nil,
	)
	if err != nil {
		return nil, err
	}
	// The job ticks for itself each 30 s. Its ticker ends here, its memory of failures lives on.
	h.environment.TogglePluginHealthCheckJob(true)
	h.job = h.environment.GetPluginHealthCheckJob()
	h.job.Cancel()
	gateway := front.Gateway{
		Rules: s.rules, PublicDir: filepath.Join(s.bundle.folder, "public"),
		Active: h.active, Serve: h.serve,
	}
	h.server = front.NewServer(gateway.Router(), s.readTimeout, s.writeTimeout, log)
	h.noted.started = func(pid int, took time.Duration) {
		events.Emit("started", object{"pid": pid, "handshake_ms": float64(took.Microseconds()) / 1000})
	}
	h.noted.exited = func(fate object) { events.Emit("exited", fate) }
	return h, nil
}

func (h *host) id() string   { return h.settings.bundle.id }
func (h *host) active() bool { return h.environment.IsActive(h.id()) }

// flush brings the log up to date. One at a time: mlog loses one of two flushes that meet, and the
// loser waits 15 s.
func (h *host) flush() {
	h.flushing.Lock()
	defer h.flushing.Unlock()
	_ = h.logger.Flush()
}

// hooks are the active plugin's.
func (h *host) hooks() (plugin.Hooks, error) {
	hooks, err := h.environment.HooksForPlugin(h.id())
	if err != nil {
		return nil, front.ErrNoPlugin
	}
	return hooks, nil
}

// serve is what ServePluginRequest does with a request that it has rewritten.
func (h *host) serve(from *front.Context, w http.ResponseWriter, r *http.Request) {
	hooks, err := h.environment.HooksForPlugin(h.id())
	if err != nil {
		h.log.Host("error", "Access to route for non-existent plugin", "missing_plugin_id", h.id(), "url", r.URL.String(), "error", err)
		http.NotFound(w, r)
		return
	}
	h.opened.Add(1)
	h.open.Add(1)
	defer h.open.Add(-1)
	hooks.ServeHTTP(pluginContext(from), w, r)
}

func pluginContext(from *front.Context) *plugin.Context {
	return &plugin.Context{
		SessionId: from.SessionID, RequestId: from.RequestID, IPAddress: from.IPAddress,
		AcceptLanguage: from.AcceptLanguage, UserAgent: from.UserAgent,
	}
}

// start activates the plugin: handshake, Implemented, OnActivate.
func (h *host) start() (object, error) {
	h.order.Lock()
	defer h.order.Unlock()
	return h.activate()
}

func (h *host) activate() (object, error) {
	h.noted.forget()
	began := time.Now()
	_, _, err := h.environment.Activate(h.id())
	h.flush()
	pid, connected, _, _ := h.noted.now()
	facts := object{"pid": pid, "handshake_ms": float64(connected.Sub(began).Microseconds()) / 1000, "activate_ms": front.MS(connected)}
	if connected.Before(began) { // no handshake came
		facts["handshake_ms"], facts["activate_ms"] = front.MS(began), 0.0
	}
	if err != nil {
		for key, value := range h.noted.fateOf(pid) {
			facts[key] = value
		}
		stage := "activate"
		if strings.HasPrefix(err.Error(), "unable to start plugin") {
			stage = "start" // what newSupervisor returns is wrapped, OnActivate's error is not
		}
		return facts, stageError{stage, err}
	}
	names, err := h.learn()
	if err != nil {
		return facts, stageError{"implemented", err}
	}
	facts["implemented"] = names
	return facts, nil
}

// learn asks for the hooks once more: the environment keeps their names to itself.
func (h *host) learn() ([]string, error) {
	hooks, err := h.hooks()
	if err != nil {
		return nil, err
	}
	names, err := hooks.Implemented()
	if err != nil {
		return nil, err
	}
	listed := map[string]bool{}
	for _, name := range names {
		listed[name] = true
	}
	h.listedLock.Lock()
	defer h.listedLock.Unlock()
	h.listed = listed
	if names == nil {
		names = []string{}
	}
	return names, nil
}

func (h *host) lists(name string) bool {
	h.listedLock.Lock()
	defer h.listedLock.Unlock()
	return h.listed[name]
}

// deactivate is what an admin's click does: OnDeactivate, which has no deadline, then Kill.
func (h *host) deactivate() object {
	h.order.Lock()
	defer h.order.Unlock()
	began := time.Now()
	h.noted.forget()
	pid, _, _, _ := h.noted.now()
	h.api.letGo()
	h.environment.Deactivate(h.id())
	return h.outcome(pid, object{}, began)
}

type stopOrder struct {
	// HTTPFirst: server.go stops its HTTP server (1 s, then all connections are cut) before it
	// comes to the plugins.
	HTTPFirst bool `json:"http_first"`
}

var defaultStop = stopOrder{HTTPFirst: true}

// stop is the end of the whole server: it waits 10 s for OnDeactivate, and then kills.
func (h *host) stop(order stopOrder) object {
	began := time.Now()
	facts := object{}
	if order.HTTPFirst {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_ = h.server.Shutdown(ctx)
		cancel()
		_ = h.server.Close()
		facts["http_ms"] = front.MS(began)
	}
	h.order.Lock()
	defer h.order.Unlock()
	h.noted.forget()
	pid, _, _, _ := h.noted.now()
	asked := time.Now()
	h.api.letGo()
	h.environment.Shutdown()
	facts["deactivate_ms"] = front.MS(asked)
	return h.outcome(pid, facts, began)
}

func (h *host) outcome(pid int, facts object, began time.Time) object {
	h.flush()
	for key, value := range h.noted.fateOf(pid) {
		facts[key] = value
	}
	h.noted.lock.Lock()
	defer h.noted.lock.Unlock()
	facts["timed_out"], facts["error"] = h.noted.timedOut, nil
	if h.noted.stopError != "" {
		facts["error"] = h.noted.stopError
	}
	facts["ms"] = front.MS(began)
	return facts
}

// checkHealth is one round of the real job: a plugin that answers none of three pings is restarted,
// and at the third failure within the hour deactivated.
func (h *host) checkHealth() object {
	h.order.Lock()
	defer h.order.Unlock()
	if !h.active() {
		return object{"checked": false}
	}
	h.noted.forget()
	before, _, _, _ := h.noted.now()
	h.job.CheckPlugin(h.id())
	h.flush()
	after, _, _, _ := h.noted.now()
	facts := object{"checked": true, "healthy": before == after && h.active(), "error": nil}
	if facts["healthy"] == false {
		facts["restarted"] = before != after
		if h.active() {
			if _, err := h.learn(); err != nil {
				facts["error"] = err.Error()
			}
		} else if statuses, err := h.environment.Statuses(); err == nil && before != after {
			facts["error"] = statuses[0].Error
		}
	}
	return facts
}

// watchHealth runs a round each interval until the server stops.
func (h *host) watchHealth(ctx context.Context, interval time.Duration) {
	if interval <= 0 {
		return
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			h.checkHealth()
		case <-ctx.Done():
			return
		}
	}
}
