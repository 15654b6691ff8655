package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	front "mm_asgi/gofront"
)

// handshake is Mattermost's (server/public/plugin/client.go).
var handshake = plugin.HandshakeConfig{
	ProtocolVersion:  1,
	MagicCookieKey:   "MATTERMOST_PLUGIN",
	MagicCookieValue: "Securely message teams, anywhere.",
}

// child is one plugin process under go-plugin's client, as supervisor.go keeps it.
type child struct {
	client   *plugin.Client
	protocol plugin.ClientProtocol
	command  *exec.Cmd
	conn     *grpc.ClientConn
	pid      int
	exited   chan struct{} // closed when go-plugin has waited for the process
	once     sync.Once
	// announced is closed when the event is out; only a child with a connection has one.
	announced chan struct{}
}

type childSettings struct {
	python, executable, dir string
	startTimeout            time.Duration
	autoMTLS                bool
	multiplex               bool
	socketGroup             string
}

// startChild runs `PYTHON executable` in the plugin's folder and returns after the handshake and
// the dial. On an error go-plugin has killed the process; call kill all the same.
func startChild(s childSettings, log *hostLog) (*child, error) {
	if script := filepath.Join(s.dir, s.executable); !exists(script) {
		return &child{}, fmt.Errorf("Python plugin script not found: %s", script)
	}
	command := exec.Command(s.python, s.executable)
	command.Dir = s.dir
	command.WaitDelay = 5 * time.Second

	c := &child{command: command, exited: make(chan struct{}), announced: make(chan struct{})}
	log.Watch(func(message string) {
		// go-plugin says so right after it has waited for the process.
		if message == "plugin process exited" {
			c.once.Do(func() { close(c.exited) })
		}
	})
	config := &plugin.ClientConfig{
		HandshakeConfig:     handshake,
		Plugins:             plugin.PluginSet{"hooks": hooksPlugin{}},
		Cmd:                 command,
		AllowedProtocols:    []plugin.Protocol{plugin.ProtocolGRPC},
		StartTimeout:        s.startTimeout,
		AutoMTLS:            s.autoMTLS,
		GRPCBrokerMultiplex: s.multiplex,
		Logger:              &pluginLogger{log: log, executable: filepath.Base(command.Path)},
		SyncStdout:          log.Writer(front.FromStdout, "info"),
		SyncStderr:          log.Writer(front.FromStderr, "info"),
	}
	if s.socketGroup != "" {
		config.UnixSocketConfig = &plugin.UnixSocketConfig{Group: s.socketGroup}
	}
	c.client = plugin.NewClient(config)
	protocol, err := c.client.Client()
	if c.command.Process != nil {
		c.pid = c.command.Process.Pid
	}
	if err != nil {
		return c, err
	}
	// Mattermost takes the connection straight out of go-plugin's client; it dispenses nothing.
	grpcClient, ok := protocol.(*plugin.GRPCClient)
	if !ok {
		return c, errors.New("expected gRPC client for Python plugin")
	}
	c.protocol, c.conn = protocol, grpcClient.Conn
	return c, nil
}

// kill is go-plugin's Kill: Controller.Shutdown without a deadline, 2 s, SIGKILL, wait.
func (c *child) kill() object {
	started := time.Now()
	if c.client != nil {
		c.client.Kill()
	}
	facts := c.fate()
	facts["kill_ms"] = front.MS(started)
	return facts
}

// fate tells how the process ended; call it after kill or after exited is closed.
func (c *child) fate() object {
	facts := object{"pid": c.pid, "exit_code": nil, "signal": nil, "sigkill": false}
	if c.command == nil || c.command.ProcessState == nil {
		return facts
	}
	state := c.command.ProcessState
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		facts["signal"] = int(status.Signal())
		facts["sigkill"] = status.Signal() == syscall.SIGKILL
	} else {
		facts["exit_code"] = state.ExitCode()
	}
	return facts
}

// hooksPlugin only has to exist: go-plugin refuses an empty set.
type hooksPlugin struct{ plugin.NetRPCUnsupportedPlugin }

func (hooksPlugin) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error {
	return errors.New("this program is the host")
}

func (hooksPlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, _ *grpc.ClientConn) (any, error) {
	return nil, fmt.Errorf("nothing is dispensed")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
