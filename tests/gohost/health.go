package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	front "mm_asgi/gofront"
)

// The server's health check job (health_check.go) and its ping (supervisor.go), for one plugin.
const (
	healthPings    = 3                // HealthCheckPingFailLimit
	healthFailures = 3                // HealthCheckNumRestartsLimit
	healthWindow   = 60 * time.Minute // HealthCheckDeactivationWindow
)

// healthCheck remembers when the plugin failed. Only one round runs at a time.
type healthCheck struct {
	failures []time.Time
	now      func() time.Time
}

// fail notes a failed round; whether the plugin is to be restarted, or else deactivated.
func (c *healthCheck) fail() bool {
	c.failures = append(c.failures, c.now())
	if len(c.failures) > healthFailures {
		c.failures = c.failures[len(c.failures)-healthFailures:]
	}
	if len(c.failures) == healthFailures && c.now().Sub(c.failures[0]) <= healthWindow {
		c.failures = nil
		return false
	}
	return true
}

// checkHealth is one round: a plugin that answers none of three pings is restarted, and at the
// third failure within the window deactivated. HTTP requests get 404 until it runs again.
func (h *host) checkHealth() object {
	h.healthLock.Lock()
	defer h.healthLock.Unlock()
	if h.active.Load() == nil {
		return object{"checked": false}
	}
	if h.answersPing() {
		return object{"checked": true, "healthy": true}
	}
	id := h.settings.rules.PluginID
	h.log.Host("warn", "Health check failed for plugin", "id", id, "error", "plugin RPC connection is not responding")
	facts := object{"checked": true, "healthy": false, "restarted": h.health.fail(), "error": nil}
	if facts["restarted"] == false {
		h.log.Host("debug", "Deactivating plugin due to multiple crashes", "id", id)
		h.deactivateFailed(id)
		return facts
	}
	h.log.Host("debug", "Restarting plugin due to failed health check", "id", id)
	h.deactivateFailed(id)
	if _, err := h.start(); err != nil {
		h.log.Host("error", "Failed to restart plugin", "id", id, "error", err)
		facts["error"] = err.Error()
	}
	return facts
}

func (h *host) answersPing() bool {
	for range healthPings {
		if h.ping() == nil {
			return true
		}
	}
	return false
}

func (h *host) deactivateFailed(id string) {
	if err := h.deactivate()["error"]; err != nil {
		h.log.Host("error", "Plugin OnDeactivate() error", "plugin_id", id, "error", err)
	}
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

// checkHealth is a round on demand; a plugin whose process has ended is waited for first when
// ?after_exit=1 asks for it, so that a test needs no clock.
func (c *control) checkHealth(r *http.Request) (object, error) {
	if r.URL.Query().Get("after_exit") != "" {
		c.host.lock.Lock()
		child := c.host.child
		c.host.lock.Unlock()
		if child == nil {
			return nil, front.ErrNoPlugin
		}
		select {
		case <-child.exited:
		case <-time.After(10 * time.Second):
			return nil, errors.New("the plugin's process did not end in 10 s")
		}
	}
	return c.host.checkHealth(), nil
}
