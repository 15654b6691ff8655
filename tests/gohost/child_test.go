package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	front "mm_asgi/gofront"
	"mm_asgi/gohost/pb"
)

// TestMain makes the test binary its own plugin: started by go-plugin, it serves instead.
func TestMain(m *testing.M) {
	if os.Getenv(handshake.MagicCookieKey) != handshake.MagicCookieValue {
		os.Exit(m.Run())
	}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: handshake,
		Plugins:         plugin.PluginSet{"hooks": goPlugin{}},
		GRPCServer:      plugin.DefaultGRPCServer,
	})
}

type goPlugin struct{ plugin.NetRPCUnsupportedPlugin }

func (goPlugin) GRPCServer(_ *plugin.GRPCBroker, server *grpc.Server) error {
	pb.RegisterPluginHooksServer(server, scripted{})
	return nil
}

func (goPlugin) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, nil
}

func TestChildLivesAndDiesUnderGoPlugin(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "plugin.py"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, autoMTLS := range []bool{false, true} {
		h := &host{
			settings: settings{child: childSettings{
				python: os.Args[0], executable: "plugin.py", dir: folder,
				startTimeout: 10 * time.Second, autoMTLS: autoMTLS,
			}},
			log: front.NewLog(t.Output()), events: front.NewEvents(io.Discard),
		}
		facts, err := h.start()
		if err != nil {
			t.Fatal(err)
		}
		if names := facts["implemented"].([]string); len(names) != 2 || h.pid() == 0 {
			t.Error(facts)
		}
		if err := h.ping(); err != nil {
			t.Error(err)
		}
		if end := h.deactivate(); end["exit_code"] != 0 || end["sigkill"] != false {
			t.Error(end)
		}
	}
}

func TestAFailedStartSaysHowFarItCame(t *testing.T) {
	h := &host{
		settings: settings{rules: demo, child: childSettings{
			python: "/bin/echo", executable: "plugin.py", dir: t.TempDir(), startTimeout: time.Second,
		}},
		log: front.NewLog(t.Output()), events: front.NewEvents(io.Discard),
	}
	facts, err := h.start()
	if told := failure(facts, err); told["stage"] != "start" || told["error"] == "" {
		t.Error(told)
	}
}
