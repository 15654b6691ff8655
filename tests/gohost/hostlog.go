package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Sources of a line in the host's log.
const (
	fromHost     = "host"          // what Mattermost itself would log
	fromGoPlugin = "go-plugin"     // go-plugin's client about the process
	fromPlugin   = "plugin"        // the plugin's stderr, parsed by go-plugin
	fromStdout   = "plugin_stdout" // GRPCStdio, channel STDOUT
	fromStderr   = "plugin_stderr" // GRPCStdio, channel STDERR
	fromHTTP     = "httpserver"    // net/http's ErrorLog
	fromAPI      = "api"           // the PluginAPI's Log calls
)

// hostLog stands for the server's log: JSON lines, so that a test sees exactly what arrived there.
type hostLog struct {
	lock sync.Mutex
	out  io.Writer
	// onLine, when set, is told every line of go-plugin's own.
	onLine func(message string)
}

func (h *hostLog) write(source, logger, level, message string, args []any) {
	line := object{
		"time":    time.Now().UTC().Format(time.RFC3339Nano),
		"source":  source,
		"level":   level,
		"message": message,
	}
	if logger != "" {
		line["logger"] = logger
	}
	if fields := pairs(args); len(fields) > 0 {
		line["fields"] = fields
		if module, ok := fields["@module"]; ok {
			line["module"] = module
		}
	}
	encoded, err := json.Marshal(line)
	if err != nil {
		encoded, _ = json.Marshal(object{"source": fromHost, "level": "error", "message": "unloggable: " + err.Error()})
	}
	h.lock.Lock()
	_, _ = h.out.Write(append(encoded, '\n'))
	onLine := h.onLine
	h.lock.Unlock()
	if onLine != nil && source == fromGoPlugin {
		onLine(message)
	}
}

// watch lets child.go learn from go-plugin's words that its process has ended.
func (h *hostLog) watch(onLine func(message string)) {
	h.lock.Lock()
	defer h.lock.Unlock()
	h.onLine = onLine
}

// host writes a line of the host's own; args alternate keys and values.
func (h *hostLog) host(level, message string, args ...any) {
	h.write(fromHost, "", level, message, args)
}

// writer gives a place for whole lines of text.
func (h *hostLog) writer(source, level string) io.Writer {
	return lineWriter(func(text string) { h.write(source, "", level, text, nil) })
}

// pairs turns hclog's alternating arguments into fields. A leftover goes where Mattermost's
// adapter puts it (hclog_adapter.go).
func pairs(args []any) object {
	fields := object{}
	for ; len(args) >= 2; args = args[2:] {
		value := args[1]
		if err, ok := value.(error); ok {
			value = err.Error()
		}
		fields[fmt.Sprint(args[0])] = value
	}
	if len(args) == 1 {
		fields["wrapped_extras"] = args[0]
	}
	return fields
}

type lineWriter func(text string)

func (w lineWriter) Write(data []byte) (int, error) {
	w(strings.TrimRight(string(data), "\n"))
	return len(data), nil
}

// pluginLogger is what go-plugin logs to. It behaves as Mattermost's hclogAdapter does: no level
// filter (GetLevel is NoLevel), Trace becomes debug, With is ignored. Mattermost drops the name
// too; here it tells the plugin's stderr from go-plugin's own words, because go-plugin names the
// stderr logger after the executable.
type pluginLogger struct {
	log        *hostLog
	name       string
	executable string
}

var _ hclog.Logger = (*pluginLogger)(nil)

func (l *pluginLogger) write(level, message string, args []any) {
	source := fromGoPlugin
	if l.name != "" && l.name == l.executable {
		source = fromPlugin
	}
	l.log.write(source, l.name, level, message, args)
}

func (l *pluginLogger) Log(level hclog.Level, message string, args ...any) {
	switch level {
	case hclog.Trace, hclog.Debug:
		l.write("debug", message, args)
	case hclog.Info:
		l.write("info", message, args)
	case hclog.Warn:
		l.write("warn", message, args)
	default:
		l.write("error", message, args)
	}
}

func (l *pluginLogger) Trace(message string, args ...any) { l.write("debug", message, args) }
func (l *pluginLogger) Debug(message string, args ...any) { l.write("debug", message, args) }
func (l *pluginLogger) Info(message string, args ...any)  { l.write("info", message, args) }
func (l *pluginLogger) Warn(message string, args ...any)  { l.write("warn", message, args) }
func (l *pluginLogger) Error(message string, args ...any) { l.write("error", message, args) }

func (l *pluginLogger) IsTrace() bool { return false }
func (l *pluginLogger) IsDebug() bool { return true }
func (l *pluginLogger) IsInfo() bool  { return true }
func (l *pluginLogger) IsWarn() bool  { return true }
func (l *pluginLogger) IsError() bool { return true }

func (l *pluginLogger) With(...any) hclog.Logger { return l }
func (l *pluginLogger) Named(name string) hclog.Logger {
	return &pluginLogger{log: l.log, name: name, executable: l.executable}
}
func (l *pluginLogger) ResetNamed(name string) hclog.Logger { return l.Named(name) }
func (l *pluginLogger) Name() string                        { return l.name }
func (l *pluginLogger) ImpliedArgs() []any                  { return nil }
func (l *pluginLogger) SetLevel(hclog.Level)                {}
func (l *pluginLogger) GetLevel() hclog.Level               { return hclog.NoLevel }

func (l *pluginLogger) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return log.New(l.StandardWriter(nil), "", 0)
}

func (l *pluginLogger) StandardWriter(*hclog.StandardLoggerOptions) io.Writer {
	return lineWriter(func(text string) { l.write("info", text, nil) })
}
