package front

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Sources of a line in the host's log.
const (
	FromHost     = "host"          // what Mattermost itself would log
	FromGoPlugin = "go-plugin"     // go-plugin's client about the process
	FromPlugin   = "plugin"        // the plugin's stderr, parsed by go-plugin
	FromStdout   = "plugin_stdout" // GRPCStdio, channel STDOUT
	FromStderr   = "plugin_stderr" // GRPCStdio, channel STDERR
	FromHTTP     = "httpserver"    // net/http's ErrorLog
	FromAPI      = "api"           // the PluginAPI's Log calls
)

// Log stands for the server's log: JSON lines, so that a test sees exactly what arrived there.
type Log struct {
	lock sync.Mutex
	out  io.Writer
	// onLine, when set, is told every line of go-plugin's own.
	onLine func(message string)
}

// NewLog writes to out.
func NewLog(out io.Writer) *Log { return &Log{out: out} }

// Write adds one line; args alternate keys and values.
func (h *Log) Write(source, logger, level, message string, args []any) {
	line := Object{
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
		encoded, _ = json.Marshal(Object{"source": FromHost, "level": "error", "message": "unloggable: " + err.Error()})
	}
	h.lock.Lock()
	_, _ = h.out.Write(append(encoded, '\n'))
	onLine := h.onLine
	h.lock.Unlock()
	if onLine != nil && source == FromGoPlugin {
		onLine(message)
	}
}

// Watch lets a host learn from go-plugin's words that its process has ended.
func (h *Log) Watch(onLine func(message string)) {
	h.lock.Lock()
	defer h.lock.Unlock()
	h.onLine = onLine
}

// Host writes a line of the host's own; args alternate keys and values.
func (h *Log) Host(level, message string, args ...any) {
	h.Write(FromHost, "", level, message, args)
}

// Writer gives a place for whole lines of text.
func (h *Log) Writer(source, level string) io.Writer {
	return LineWriter(func(text string) { h.Write(source, "", level, text, nil) })
}

// pairs turns hclog's alternating arguments into fields. A leftover goes where Mattermost's
// adapter puts it (hclog_adapter.go).
func pairs(args []any) Object {
	fields := Object{}
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

// LineWriter turns a function into a place for lines.
type LineWriter func(text string)

func (w LineWriter) Write(data []byte) (int, error) {
	w(strings.TrimRight(string(data), "\n"))
	return len(data), nil
}
