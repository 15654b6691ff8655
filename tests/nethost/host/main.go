// Command host is a real host of released Mattermost servers for tests: the server's own
// plugin.Environment loads a plugin over net/rpc, net/http stands before it, and a test looks
// behind the scenes.
//
//	host -dir BUNDLE                                         a folder with a plugin.json
//	host -dir FOLDER -executable plugin.py -python PYTHON -id ID   any folder: a manifest is written
//
// It prints JSON event lines on stdout (listening, started, ready, failed, exited, stopped) and
// serves the control API of control.go on a second listener, both as tests/gohost does.
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
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	front "mm_asgi/gofront"
)

type (
	object = front.Object
	hooked = func(*front.Context, http.ResponseWriter, *http.Request)
)

type settings struct {
	bundle          bundle
	rules           front.Rules
	listen, control string
	logFile, folder string
	readTimeout     time.Duration
	writeTimeout    time.Duration
	healthInterval  time.Duration
	env             keyValues
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

func main() {
	s, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	}
	if err == nil {
		err = run(s)
	}
	if err != nil {
		if !errors.As(err, &stageError{}) { // a failed start is told in its event
			fmt.Fprintln(os.Stderr, "host:", err)
		}
		os.Exit(1)
	}
}

func parse(arguments []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("host", flag.ContinueOnError)
	flags.StringVar(&s.bundle.source, "dir", ".", "the plugin's folder; with a plugin.json it is installed as a bundle is")
	flags.StringVar(&s.bundle.executable, "executable", "", "start file, relative to -dir, that stays where it is; a manifest is written for it")
	flags.StringVar(&s.bundle.python, "python", "", "interpreter of -executable; without one it runs itself")
	flags.StringVar(&s.bundle.id, "id", "com.example.demo", "plugin id; a plugin.json has its own")
	flags.StringVar(&s.rules.Subpath, "subpath", "/", "site subpath, for example /mm")
	flags.BoolVar(&s.rules.StrictCSRF, "strict-csrf", false, "ExperimentalStrictCSRFEnforcement")
	proxyHeaders := flags.String("trusted-proxy-header", "", "TrustedProxyIPHeader, comma separated")
	flags.StringVar(&s.listen, "listen", "127.0.0.1:0", "HTTP listener (HTTP/1.1 and h2c)")
	flags.StringVar(&s.control, "control", "127.0.0.1:0", "control listener")
	flags.StringVar(&s.logFile, "log", "", "file for the host's log, JSON lines; stderr when empty")
	flags.StringVar(&s.folder, "folder", "", "the server's folder, made and removed here; a temporary one when empty")
	flags.DurationVar(&s.readTimeout, "read-timeout", 300*time.Second, "net/http ReadTimeout")
	flags.DurationVar(&s.writeTimeout, "write-timeout", 300*time.Second, "net/http WriteTimeout")
	flags.DurationVar(&s.healthInterval, "health-interval", 0, "between two health checks (Mattermost: 30s); 0: only POST /health")
	flags.Var(&s.env, "env", "KEY=VALUE for the plugin, repeatable; KEY= unsets")
	if err := flags.Parse(arguments); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *proxyHeaders != "" {
		s.rules.TrustedProxyHeader = strings.Split(*proxyHeaders, ",")
	}
	s.rules.Subpath = "/" + strings.Trim(s.rules.Subpath, "/")
	var err error
	if s.folder != "" {
		if s.folder, err = filepath.Abs(s.folder); err != nil {
			return s, err
		}
	}
	s.bundle.source, err = filepath.Abs(s.bundle.source)
	return s, err
}

// exportEnvironment sets what the plugin shall see in our own environment, which go-plugin hands
// on. A released server sets nothing of its own but go-plugin's cookie.
func (s *settings) exportEnvironment() error {
	wanted := append(keyValues{"MATTERMOST_PLUGIN_ID=", "MATTERMOST_PLUGIN_API_TARGET=", "MATTERMOST_LOG_LEVEL="}, s.env...)
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
	var output io.Writer = os.Stderr
	if s.logFile != "" {
		file, err := os.OpenFile(s.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer file.Close()
		output = file
	}
	if err := s.exportEnvironment(); err != nil {
		return err
	}
	if s.folder == "" {
		var err error
		if s.folder, err = os.MkdirTemp("", "nethost-"); err != nil {
			return err
		}
	}
	defer os.RemoveAll(s.folder)
	if err := s.bundle.install(filepath.Join(s.folder, "plugins")); err != nil {
		return err
	}
	s.rules.PluginID = s.bundle.id
	h, err := newHost(s, front.NewLog(output), front.NewEvents(os.Stdout))
	if err != nil {
		return err
	}
	addresses, err := h.listen()
	if err != nil {
		return err
	}
	return h.live(addresses)
}

// live starts the plugin and stays until a signal, or until the start has failed.
func (h *host) live(addresses object) error {
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
			go h.watchHealth(watching, h.settings.healthInterval)
		case <-signals:
			stopWatching()
			h.events.Emit("stopped", h.stop(defaultStop))
			return nil
		}
	}
}

func (h *host) announceStart(addresses object) error {
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
	h.api.state.setSiteURL("http://" + public.Addr().String() + strings.TrimSuffix(h.settings.rules.Subpath, "/"))
	go func() { _ = h.server.Serve(public) }()
	go func() { _ = http.Serve(private, (&control{host: h}).router()) }()
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
