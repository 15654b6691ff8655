package main

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"time"

	front "mm_asgi/gofront"
)

// control is the test's side door: JSON over HTTP on a listener of its own.
type control struct{ host *host }

func (c *control) router() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stats", front.Answer(c.stats))
	mux.HandleFunc("POST /ping", front.Answer(c.ping))
	mux.HandleFunc("POST /health", front.Answer(c.health))
	mux.HandleFunc("POST /hook/{name}", front.Answer(c.hook))
	mux.HandleFunc("POST /hook/{name}/loop", front.Answer(c.hookLoop))
	mux.HandleFunc("POST /activate", front.Answer(c.activate))
	mux.HandleFunc("POST /deactivate", front.Answer(c.deactivate))
	mux.HandleFunc("POST /stop", front.Answer(c.stop))
	mux.HandleFunc("POST /interplugin", front.Answer(c.interPlugin))
	mux.HandleFunc("POST /metrics", front.Answer(c.metrics))
	c.host.api.routes(mux)
	return mux
}

func (c *control) stats(*http.Request) (object, error) {
	pid, _, _, _ := c.host.noted.now()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return object{
		"active": c.host.active(), "pid": pid, "goroutines": runtime.NumGoroutine(), "heap": memory.HeapAlloc,
		"open": c.host.open.Load(), "opened": c.host.opened.Load(), "state": c.host.environment.GetPluginState(c.host.id()),
	}, nil
}

// ping is the health check's question without its consequences: three pings, no deadline.
func (c *control) ping(*http.Request) (object, error) {
	if !c.host.active() {
		return nil, front.ErrNoPlugin
	}
	began := time.Now()
	err := c.host.environment.PerformHealthCheck(c.host.id())
	code, message := "OK", ""
	if err != nil {
		code, message = "Unavailable", err.Error()
	}
	return object{"ok": err == nil, "code": code, "message": message, "ms": front.MS(began)}, nil
}

// health is a round of the health check on demand; ?after_exit=1 first waits until the process has
// ended, so that a test needs no clock.
func (c *control) health(r *http.Request) (object, error) {
	if r.URL.Query().Get("after_exit") != "" {
		pid, _, _, _ := c.host.noted.now()
		gone := c.host.noted.gone(pid)
		if gone == nil {
			return nil, front.ErrNoPlugin
		}
		select {
		case <-gone:
		case <-time.After(10 * time.Second):
			return nil, errors.New("the plugin's process did not end in 10 s")
		}
	}
	return c.host.checkHealth(), nil
}

// activate starts the plugin anew after a deactivation, as an admin's click does.
func (c *control) activate(*http.Request) (object, error) {
	if c.host.active() {
		return nil, errors.New("the plugin is active")
	}
	facts, err := c.host.start()
	if err != nil {
		return failure(facts, err), nil
	}
	facts["event"] = "ready"
	return facts, nil
}

func (c *control) deactivate(*http.Request) (object, error) { return c.host.deactivate(), nil }

func (c *control) stop(r *http.Request) (object, error) {
	order := defaultStop
	if err := front.Read(r, &order); err != nil {
		return nil, err
	}
	return c.host.stop(order), nil
}

// interPlugin is ServeInternalPluginRequest: a request from another plugin or from the server.
func (c *control) interPlugin(r *http.Request) (object, error) {
	if _, err := c.host.hooks(); err != nil {
		return nil, err
	}
	return front.InterPlugin(r, c.host.serve)
}

// metrics is a request to the server's metrics listener, which the hook ServeMetrics answers. The
// path is the whole one, and the server takes the plugin's own off (platform/metrics.go).
func (c *control) metrics(r *http.Request) (object, error) {
	hooks, err := c.host.hooks()
	if err != nil {
		return nil, err
	}
	return front.InterPlugin(r, func(from *front.Context, w http.ResponseWriter, r *http.Request) {
		r.RequestURI = r.URL.RequestURI()
		_, r.URL.Path, _ = strings.Cut(r.URL.Path, "/plugins/"+c.host.id()+"/metrics")
		hooks.ServeMetrics(pluginContext(&front.Context{}), w, r)
	})
}

// hook calls a hook that the plugin lists. The body is the list of its arguments; hooks.go has their
// form and the answer's.
func (c *control) hook(r *http.Request) (object, error) {
	call, err := c.hookCall(r)
	if err != nil {
		return nil, err
	}
	if !c.host.lists(call.name) {
		return object{"ok": false, "listed": false, "called": false}, nil
	}
	return call.answer(c.host)
}

// hookLoop calls one hook again and again: ?workers= calls at a time for ?seconds=.
func (c *control) hookLoop(r *http.Request) (object, error) {
	call, err := c.hookCall(r)
	if err != nil {
		return nil, err
	}
	if !c.host.lists(call.name) {
		return nil, fmt.Errorf("%s is not listed by the plugin", call.name)
	}
	workers, workersErr := strconv.Atoi(r.URL.Query().Get("workers"))
	seconds, secondsErr := strconv.ParseFloat(r.URL.Query().Get("seconds"), 64)
	if err := errors.Join(workersErr, secondsErr); err != nil || workers < 1 {
		return nil, fmt.Errorf("workers and seconds have to be positive numbers (%w)", err)
	}
	c.host.noted.forget()
	result := front.Hammer{Workers: workers, For: time.Duration(seconds * float64(time.Second))}.Run(func(int) error {
		return errorOf(call.run())
	})
	c.host.flush()
	// A call that failed on the way looks as one that answered nothing; the log knows.
	if _, _, failures, text := c.host.noted.now(); failures > 0 {
		result.Errors += int64(failures)
		result.Count -= int64(failures)
		result.FirstError = text
	}
	return object{
		"count": result.Count, "errors": result.Errors, "first_error": result.FirstError,
		"seconds": result.Seconds, "p50_us": result.P50, "p99_us": result.P99, "max_us": result.Max,
	}, nil
}
