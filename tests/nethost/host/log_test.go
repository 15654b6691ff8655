package main

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mattermost/mattermost/server/public/shared/mlog"

	front "mm_asgi/gofront"
)

func TestTheServersLogIsRead(t *testing.T) {
	var out bytes.Buffer
	noted := newNotes()
	log := front.NewLog(&out)
	logger, err := newLogger(log, noted)
	if err != nil {
		t.Fatal(err)
	}
	var started, ended int
	noted.started = func(pid int, _ time.Duration) { started = pid }
	noted.exited = func(fate object) { ended = fate["pid"].(int) }
	plugins := logger.With(mlog.String("plugin_id", "demo"))
	plugins.Debug("starting plugin", mlog.String("wrapped_extras", "path/xargs[/x]"))
	plugins.Debug("plugin started", mlog.String("wrapped_extras", "path/id7/xpid41"))
	plugins.Debug("using plugin", mlog.String("wrapped_extras", "version1"))
	plugins.Debug("said on stderr")
	plugins.Info("as JSON", mlog.String("wrapped_extras", "kvtimestamp2026-11-30T22:24:00.644Z"))
	plugins.Info("printed", mlog.String("source", "plugin_stdout"))
	plugins.Error("RPC call MessageWillBePosted to plugin failed.", mlog.String("error", "unexpected EOF"))
	plugins.Debug("Plugin activated", mlog.String("version", "1"))
	plugins.Error("plugin process exited", mlog.String("wrapped_extras", "plugin/id7/xid41errorsignal: killed"))
	if err := logger.Flush(); err != nil {
		t.Fatal(err)
	}
	var sources []string
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		var fields struct{ Source string }
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		sources = append(sources, fields.Source)
	}
	wanted := []string{"go-plugin", "go-plugin", "go-plugin", "plugin", "plugin", "plugin_stdout", "host", "host", "go-plugin"}
	if !reflect.DeepEqual(sources, wanted) {
		t.Errorf("%q", sources)
	}
	if started != 41 || ended != 41 {
		t.Errorf("started %d, ended %d", started, ended)
	}
	select {
	case <-noted.gone(41):
	default:
		t.Error("the end of the process was not told")
	}
	if facts := noted.fateOf(41); facts["signal"] != 9 || facts["sigkill"] != true || facts["exit_code"] != nil {
		t.Errorf("%v", facts)
	}
	if _, _, failures, text := noted.now(); failures != 1 || text != "unexpected EOF" {
		t.Errorf("%d failures, %q", failures, text)
	}
}

func TestFates(t *testing.T) {
	for text, wanted := range map[string]object{
		"":                              {"pid": 1, "exit_code": 0, "signal": nil, "sigkill": false},
		"exit status 3":                 {"pid": 1, "exit_code": 3, "signal": nil, "sigkill": false},
		"signal: terminated":            {"pid": 1, "exit_code": nil, "signal": 15, "sigkill": false},
		"signal: killed":                {"pid": 1, "exit_code": nil, "signal": 9, "sigkill": true},
		"signal: aborted (core dumped)": {"pid": 1, "exit_code": nil, "signal": 6, "sigkill": false},
	} {
		if found := fate(1, text); !reflect.DeepEqual(found, wanted) {
			t.Errorf("%q: %v", text, found)
		}
	}
}
