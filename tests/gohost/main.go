// Command gohost is a real go-plugin host for tests: it starts a Python plugin as Mattermost's
// server does, puts net/http before it and lets a test look behind the scenes.
//
//	gohost -dir PLUGINDIR -executable plugin.py -python PYTHON -id com.example.demo
//	gohost raw -target unix:/path     no go-plugin: dial a gRPC server that offers PluginHooks
//	gohost proxy -target unix:/path   no plugin: a ReverseProxy before an HTTP server (proxy.go)
//	gohost api                        no plugin: the PluginAPI server alone (api.go)
//	gohost bare SOCKET                no host: a gRPC server with fixed answers, in Go (bare.go)
//	gohost load -url http://...       a load generator (load.go)
//
// It prints JSON event lines on stdout (listening, started, ready, failed, exited, stopped) and
// serves the control API of control.go on a second listener.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	front "mm_asgi/gofront"
)

type settings struct {
	child               childSettings
	rules               rewriteRules
	listen, control     string
	logFile             string
	readTimeout         time.Duration
	writeTimeout        time.Duration
	hookTimeout         time.Duration
	healthInterval      time.Duration
	target              string // `gohost raw` and `gohost proxy`
	proxy               bool
	api, apiOnly        bool
	noActivate          bool
	apiTarget, logLevel string
	env                 keyValues
}

// keyValues is a flag that may be given several times.
type keyValues []string

func (k *keyValues) String() string { return strings.Join(*k, " ") }

func (k *keyValues) Set(value string) error {
	if !strings.Contains(value, "=") {
		return errors.New("KEY=VALUE")
	}
	*k = append(*k, value)
	return nil
}

var defaultStop = stopOrder{HTTPFirst: true, WaitMS: 10_000}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "load" {
		os.Exit(loadMain(os.Args[2:], os.Stdout, os.Stderr))
	}
	if len(os.Args) > 1 && os.Args[1] == "bare" {
		os.Exit(exitBare(os.Args[2:]))
	}
	s, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	}
	if err == nil {
		err = run(s)
	}
	if err != nil {
		if !errors.As(err, &stageError{}) { // a failed start is told in its event
			fmt.Fprintln(os.Stderr, "gohost:", err)
		}
		os.Exit(1)
	}
}

func parse(arguments []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("gohost", flag.ContinueOnError)
	mode := ""
	if len(arguments) > 0 {
		mode = arguments[0]
	}
	s.proxy, s.apiOnly = mode == "proxy", mode == "api"
	dial := s.proxy || mode == "raw"
	switch {
	case s.apiOnly:
		arguments, s.api = arguments[1:], true
	case dial:
		arguments = arguments[1:]
		flags.StringVar(&s.target, "target", "", "gRPC target that offers PluginHooks; of proxy: unix:PATH or HOST:PORT")
		flags.BoolVar(&s.noActivate, "no-activate", false, "skip Implemented and OnActivate, take every hook as listed")
	default:
		flags.StringVar(&s.child.executable, "executable", "plugin.py", "start file, relative to -dir")
		flags.StringVar(&s.child.python, "python", "python3", "interpreter")
		flags.DurationVar(&s.child.startTimeout, "start-timeout", 10*time.Second, "handshake time-out (3s for Go plugins)")
		flags.BoolVar(&s.child.autoMTLS, "automtls", false, "mutual TLS (Mattermost leaves it off)")
		flags.BoolVar(&s.child.multiplex, "multiplex", false, "ask for broker multiplexing (Mattermost does not)")
		flags.StringVar(&s.child.socketGroup, "socket-group", "", "PLUGIN_UNIX_SOCKET_GROUP")
		flags.StringVar(&s.apiTarget, "api-target", "", "MATTERMOST_PLUGIN_API_TARGET; empty when not given")
		flags.BoolVar(&s.api, "api", false, "serve the PluginAPI here, and make it the target")
		flags.StringVar(&s.logLevel, "log-level", "", "MATTERMOST_LOG_LEVEL; unset when empty")
		flags.Var(&s.env, "env", "KEY=VALUE for the plugin, repeatable; KEY= unsets")
	}
	flags.StringVar(&s.child.dir, "dir", ".", "the plugin's folder")
	flags.StringVar(&s.rules.PluginID, "id", "com.example.demo", "plugin id")
	flags.StringVar(&s.rules.Subpath, "subpath", "/", "site subpath, for example /mm")
	flags.BoolVar(&s.rules.StrictCSRF, "strict-csrf", false, "ExperimentalStrictCSRFEnforcement")
	proxyHeaders := flags.String("trusted-proxy-header", "", "TrustedProxyIPHeader, comma separated")
	flags.StringVar(&s.listen, "listen", "127.0.0.1:0", "HTTP listener (HTTP/1.1 and h2c)")
	flags.StringVar(&s.control, "control", "127.0.0.1:0", "control listener")
	flags.StringVar(&s.logFile, "log", "", "file for the host's log, JSON lines; stderr when empty")
	flags.DurationVar(&s.readTimeout, "read-timeout", 300*time.Second, "net/http ReadTimeout")
	flags.DurationVar(&s.writeTimeout, "write-timeout", 300*time.Second, "net/http WriteTimeout")
	flags.DurationVar(&s.hookTimeout, "hook-timeout", hookTimeout, "each hook's deadline")
	flags.DurationVar(&s.healthInterval, "health-interval", 0, "between two health checks (Mattermost: 30s); 0: only POST /health")
	if err := flags.Parse(arguments); err != nil {
		return s, err
	}
	if dial && s.target == "" {
		return s, errors.New("raw and proxy need -target")
	}
	if s.api && s.apiTarget != "" {
		return s, errors.New("-api and -api-target exclude each other")
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *proxyHeaders != "" {
		s.rules.TrustedProxyHeader = strings.Split(*proxyHeaders, ",")
	}
	s.rules.Subpath = "/" + strings.Trim(s.rules.Subpath, "/")
	return s, s.absolute()
}

// absolute makes paths independent of the plugin's working directory.
func (s *settings) absolute() (err error) {
	if s.child.dir, err = filepath.Abs(s.child.dir); err != nil || s.target != "" || s.apiOnly {
		return err
	}
	// Links stay: a venv's python has to be called by its own name. One that is not there fails
	// the start, as a plugin's fault and not as ours.
	if found, err := exec.LookPath(s.child.python); err == nil {
		s.child.python, err = filepath.Abs(found)
		return err
	}
	return nil
}

// exportEnvironment puts what the plugin shall see into our own environment: go-plugin hands that
// on, and does it last, so nothing else would win over a stray variable of the test run.
func (s *settings) exportEnvironment() error {
	wanted := append(keyValues{
		"MATTERMOST_PLUGIN_ID=" + s.rules.PluginID,
		"MATTERMOST_LOG_LEVEL=" + s.logLevel,
	}, s.env...)
	// Without an API it is there too, and empty: where it is absent, a plugin speaks net/rpc.
	if err := os.Setenv("MATTERMOST_PLUGIN_API_TARGET", s.apiTarget); err != nil {
		return err
	}
	for _, entry := range wanted {
		key, value, _ := strings.Cut(entry, "=")
		if value == "" {
			if err := os.Unsetenv(key); err != nil {
				return err
			}
		} else if err := os.Setenv(key, value); err != nil {
			return err
		}
	}
	return nil
}

func run(s settings) error {
	var logOutput io.Writer = os.Stderr
	if s.logFile != "" {
		file, err := os.OpenFile(s.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer file.Close()
		logOutput = file
	}
	h := &host{settings: s, log: front.NewLog(logOutput), events: front.NewEvents(os.Stdout), health: healthCheck{now: time.Now}}
	if s.api {
		h.api = newAPIServer(newAPIState(s.rules.PluginID, h.log, h.active.Load))
		if err := h.api.start(); err != nil {
			return err
		}
		s.apiTarget = h.api.address
	}
	if s.target == "" && !s.apiOnly {
		if err := s.exportEnvironment(); err != nil {
			return err
		}
	}
	gateway := front.Gateway{
		Rules:     s.rules,
		PublicDir: filepath.Join(s.child.dir, "public"),
		Active:    func() bool { return h.active.Load() != nil },
		Serve:     h.serveHTTP,
	}
	if s.proxy {
		back := newProxy(s.target, h.log)
		gateway.Active = func() bool { return true }
		gateway.Serve = func(_ *pluginContext, w http.ResponseWriter, r *http.Request) { back.ServeHTTP(w, r) }
	}
	h.server = front.NewServer(gateway.Router(), s.readTimeout, s.writeTimeout, h.log)
	addresses, err := h.listen()
	if err != nil {
		return err
	}
	if h.api != nil {
		addresses["api"] = h.api.address
		h.api.state.setSiteURL("http://" + addresses["http"].(string) + strings.TrimSuffix(s.rules.Subpath, "/"))
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)

	h.events.Emit("listening", addresses)
	watching, stopWatching := context.WithCancel(context.Background())
	defer stopWatching()
	started := make(chan error, 1)
	go func() { started <- h.announceStart(addresses) }()
	for {
		select {
		case err := <-started:
			if err != nil {
				return err
			}
			go h.watchHealth(watching, s.healthInterval)
		case <-signals:
			stopWatching()
			// In the middle of a start nothing is active yet: this kills without OnDeactivate.
			h.events.Emit("stopped", h.stop(defaultStop))
			return nil
		}
	}
}

func (h *host) announceStart(addresses object) error {
	if h.settings.proxy || h.settings.apiOnly {
		h.events.Emit("ready", object{"http": addresses["http"], "control": addresses["control"], "implemented": []string{}})
		return nil
	}
	facts, err := h.start()
	if err != nil {
		h.events.Emit("failed", failure(facts, err))
		return err
	}
	for key, value := range addresses {
		facts[key] = value
	}
	h.events.Emit("ready", facts)
	return nil
}

// listen opens both listeners before the plugin starts, so that a test can watch the start.
func (h *host) listen() (object, error) {
	public, err := net.Listen("tcp", h.settings.listen)
	if err != nil {
		return nil, err
	}
	private, err := net.Listen("tcp", h.settings.control)
	if err != nil {
		return nil, err
	}
	side := &control{host: h, raws: map[string]*rawStream{}}
	go func() { _ = h.server.Serve(public) }()
	go func() { _ = http.Serve(private, side.router()) }()
	return object{"http": public.Addr().String(), "control": private.Addr().String()}, nil
}

func failure(facts object, err error) object {
	facts["error"] = err.Error()
	var failed stageError
	if errors.As(err, &failed) {
		facts["stage"] = failed.stage
	}
	return facts
}
