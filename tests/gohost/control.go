package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	front "mm_asgi/gofront"
)

// control is the test's side door: JSON over HTTP on a listener of its own.
type control struct {
	host *host
	lock sync.Mutex
	raws map[string]*rawStream
	last int
}

func (c *control) router() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stats", front.Answer(c.stats))
	mux.HandleFunc("POST /ping", front.Answer(c.ping))
	mux.HandleFunc("POST /health", front.Answer(c.checkHealth))
	mux.HandleFunc("POST /hook/{name}", front.Answer(c.hook))
	mux.HandleFunc("POST /hook/{name}/loop", front.Answer(c.hookLoop))
	mux.HandleFunc("POST /activate", front.Answer(c.activate))
	mux.HandleFunc("POST /deactivate", front.Answer(c.deactivate))
	mux.HandleFunc("POST /stop", front.Answer(c.stop))
	mux.HandleFunc("POST /kill", front.Answer(c.kill))
	mux.HandleFunc("POST /shutdown", front.Answer(c.shutdown))
	mux.HandleFunc("POST /interplugin", front.Answer(c.interPlugin))
	mux.HandleFunc("POST /raw", front.Answer(c.raw))
	mux.HandleFunc("POST /raw/open", front.Answer(c.rawOpen))
	mux.HandleFunc("POST /raw/{id}", front.Answer(c.rawSteps))
	mux.HandleFunc("POST /raw/{id}/close", front.Answer(c.rawClose))
	c.apiRoutes(mux)
	return mux
}

func (c *control) stats(*http.Request) (object, error) {
	counts := &c.host.counts
	c.lock.Lock()
	raw := len(c.raws)
	c.lock.Unlock()
	return object{
		"active":            c.host.active.Load() != nil,
		"pid":               c.host.pid(),
		"goroutines":        runtime.NumGoroutine(),
		"raw_open":          raw,
		"open":              counts.open.Load(),
		"opened":            counts.opened.Load(),
		"complete":          counts.complete.Load(),
		"ended":             counts.ended.Load(),
		"cut":               counts.cut.Load(),
		"bad_gateway":       counts.badGateway.Load(),
		"unavailable":       counts.unavailable.Load(),
		"bad_status":        counts.badStatus.Load(),
		"write_failed":      counts.writeFailed.Load(),
		"messages_sent":     counts.messagesSent.Load(),
		"messages_received": counts.messagesReceived.Load(),
	}, nil
}

func (c *control) ping(*http.Request) (object, error) {
	began := time.Now()
	err := c.host.ping()
	if errors.Is(err, front.ErrNoPlugin) {
		return nil, err
	}
	return object{"ok": err == nil, "code": status.Code(err).String(), "message": status.Convert(err).Message(), "ms": front.MS(began)}, nil
}

// hook calls any unary hook. The body is its request as protojson; ?deadline_ms= replaces the
// host's 30 s, ?force=1 calls a hook that Implemented does not list, which the host never does.
func (c *control) hook(r *http.Request) (object, error) {
	hooks, _, err := c.host.current()
	if err != nil {
		return nil, err
	}
	name := r.PathValue("name")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	timeout := hooks.timeout
	if given := r.URL.Query().Get("deadline_ms"); given != "" {
		milliseconds, err := strconv.Atoi(given)
		if err != nil {
			return nil, fmt.Errorf("deadline_ms: %w", err)
		}
		timeout = time.Duration(milliseconds) * time.Millisecond
	}
	if _, _, err := hookMessages(name); err != nil {
		return nil, err
	}
	listed := hooks.callable(name)
	if !listed && r.URL.Query().Get("force") == "" {
		return object{"ok": false, "listed": false, "called": false}, nil
	}
	answer := hooks.call(name, body, timeout)
	if answer.err != nil {
		hooks.log.Host("error", "gRPC "+name+" call failed", "error", answer.err)
	}
	facts := answer.object()
	facts["listed"], facts["called"] = listed, true
	return facts, nil
}

// activate starts the plugin anew after a deactivation, as an admin's click does.
func (c *control) activate(*http.Request) (object, error) {
	if c.host.active.Load() != nil {
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

func (c *control) kill(*http.Request) (object, error) { return c.host.kill(), nil }

// shutdown is only the controller's RPC, without what Kill does around it.
func (c *control) shutdown(r *http.Request) (object, error) {
	_, conn, err := c.host.current()
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	if given, err := strconv.Atoi(r.URL.Query().Get("timeout_ms")); err == nil {
		limited, cancel := context.WithTimeout(ctx, time.Duration(given)*time.Millisecond)
		defer cancel()
		ctx = limited
	}
	began := time.Now()
	err = conn.Invoke(ctx, "/plugin.GRPCController/Shutdown", &emptypb.Empty{}, &emptypb.Empty{})
	return object{"ok": err == nil, "code": status.Code(err).String(), "message": status.Convert(err).Message(), "ms": front.MS(began)}, nil
}

// interPlugin is ServeInternalPluginRequest: a request from another plugin or from the server.
func (c *control) interPlugin(r *http.Request) (object, error) {
	hooks, _, err := c.host.current()
	if err != nil {
		return nil, err
	}
	return front.InterPlugin(r, func(from *pluginContext, w http.ResponseWriter, r *http.Request) {
		hooks.serveHTTP(from, w, r, &c.host.counts)
	})
}

// raw runs one stream from open to end; what is still open afterwards is cancelled.
func (c *control) raw(r *http.Request) (object, error) {
	stream, order, err := c.open(r)
	if err != nil {
		return nil, err
	}
	defer stream.close()
	return stream.run(order.Steps)
}

func (c *control) rawOpen(r *http.Request) (object, error) {
	stream, order, err := c.open(r)
	if err != nil {
		return nil, err
	}
	facts, err := stream.run(order.Steps)
	if err != nil {
		stream.close()
		return nil, err
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	c.last++
	id := strconv.Itoa(c.last)
	c.raws[id] = stream
	facts["id"] = id
	return facts, nil
}

func (c *control) open(r *http.Request) (*rawStream, rawOrder, error) {
	var order rawOrder
	_, conn, err := c.host.current()
	if err == nil {
		err = front.Read(r, &order)
	}
	if err != nil {
		return nil, order, err
	}
	stream, err := openRaw(conn, order)
	return stream, order, err
}

func (c *control) rawSteps(r *http.Request) (object, error) {
	c.lock.Lock()
	stream := c.raws[r.PathValue("id")]
	c.lock.Unlock()
	if stream == nil {
		return nil, fmt.Errorf("no raw stream %q is open", r.PathValue("id"))
	}
	var order rawOrder
	if err := front.Read(r, &order); err != nil {
		return nil, err
	}
	return stream.run(order.Steps)
}

func (c *control) rawClose(r *http.Request) (object, error) {
	c.lock.Lock()
	id := r.PathValue("id")
	stream := c.raws[id]
	delete(c.raws, id)
	c.lock.Unlock()
	if stream == nil {
		return nil, fmt.Errorf("no raw stream %q is open", id)
	}
	stream.close()
	return object{"ok": true}, nil
}
