package main

import (
	"io"
	"log"

	"github.com/hashicorp/go-hclog"

	front "mm_asgi/gofront"
)

// pluginLogger is what go-plugin logs to. It behaves as Mattermost's hclogAdapter does: no level
// filter (GetLevel is NoLevel), Trace becomes debug, With is ignored. Mattermost drops the name
// too; here it tells the plugin's stderr from go-plugin's own words, because go-plugin names the
// stderr logger after the executable.
type pluginLogger struct {
	log        *front.Log
	name       string
	executable string
}

var _ hclog.Logger = (*pluginLogger)(nil)

func (l *pluginLogger) write(level, message string, args []any) {
	source := front.FromGoPlugin
	if l.name != "" && l.name == l.executable {
		source = front.FromPlugin
	}
	l.log.Write(source, l.name, level, message, args)
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
	return front.LineWriter(func(text string) { l.write("info", text, nil) })
}
