package main

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/mattermost/mattermost/server/public/shared/mlog"

	front "mm_asgi/gofront"
)

// The environment says neither the pid of its process nor how that ended, and a hook whose call has
// failed looks as one that answered nothing. All three stand in the log that it writes: this file
// reads it on its way into the host's log, which has the form of tests/gohost.

// words are the messages of go-plugin's client. The server's adapter drops the logger's name, which
// else tells them from the plugin's own stderr.
var words = map[string]bool{
	"starting plugin": true, "plugin started": true, "waiting for RPC address": true, "using plugin": true,
	"plugin process exited": true, "plugin exited": true, "plugin failed to exit gracefully": true,
	"error closing client during Kill": true, "error killing plugin": true, "client": true,
	"error encountered while scanning stdout": true, "received EOF, stopping recv loop": true,
	"reading plugin stderr": true,
}

var (
	startedPattern = regexp.MustCompile(`pid(\d+)$`)
	exitedPattern  = regexp.MustCompile(`id(\d+)(?:error(.*))?$`)
	failedPattern  = regexp.MustCompile(`^RPC call (?:to )?(\w+)`)
	hclogPattern   = regexp.MustCompile(`timestamp\d{4}-\d\d-\d\dT`)
)

// notes are what the log told so far.
type notes struct {
	lock       sync.Mutex
	pid        int
	began      time.Time // of the process
	connected  time.Time // the plugin's handshake was read
	fates      map[int]object
	ended      map[int]chan struct{}
	timedOut   bool   // OnDeactivate took more than 10 s
	stopError  string // OnDeactivate's
	failures   int    // calls of hooks that failed on the way
	lastFailed string
	started    func(pid int, took time.Duration)
	exited     func(fate object)
}

func newNotes() *notes {
	return &notes{fates: map[int]object{}, ended: map[int]chan struct{}{}, started: func(int, time.Duration) {}, exited: func(object) {}}
}

// newLogger gives the server's own logger, whose lines end up in log and are noted.
func newLogger(log *front.Log, noted *notes) (*mlog.Logger, error) {
	logger, err := mlog.NewLogger(mlog.MaxFieldLen(1 << 20))
	if err != nil {
		return nil, err
	}
	target := front.LineWriter(func(text string) {
		for _, line := range strings.Split(text, "\n") {
			noted.read(log, line)
		}
	})
	levels := []mlog.Level{mlog.LvlTrace, mlog.LvlDebug, mlog.LvlInfo, mlog.LvlWarn, mlog.LvlError, mlog.LvlCritical}
	if err := mlog.AddWriterTarget(logger, target, true, levels...); err != nil {
		return nil, err
	}
	mlog.InitGlobalLogger(logger) // the health check uses it
	return logger, nil
}

func (n *notes) read(log *front.Log, line string) {
	var fields object
	if err := json.Unmarshal([]byte(line), &fields); err != nil {
		log.Host("error", "a line of the server's log is no JSON", "line", line)
		return
	}
	level, _ := fields["level"].(string)
	message, _ := fields["msg"].(string)
	extras, _ := fields["wrapped_extras"].(string)
	source, _ := fields["source"].(string)
	switch {
	case source != "": // plugin_stdout and plugin_stderr
	case words[message]:
		source = front.FromGoPlugin
	case hclogPattern.MatchString(extras), onlyText(fields) && level == "debug":
		source = front.FromPlugin
	default:
		source = front.FromHost
	}
	var args []any
	for key, value := range fields {
		switch key {
		case "level", "msg", "timestamp", "caller", "source":
		default:
			args = append(args, key, value)
		}
	}
	log.Write(source, "", level, message, args)
	failed, _ := fields["error"].(string)
	n.note(message, extras, failed)
}

// onlyText: a line of stderr that is no JSON is logged as it is.
func onlyText(fields object) bool {
	for key := range fields {
		switch key {
		case "level", "msg", "timestamp", "caller", "plugin_id":
		default:
			return false
		}
	}
	return fields["plugin_id"] != nil
}

// note keeps what a line says about the process and its hooks.
func (n *notes) note(message, extras, failed string) {
	n.lock.Lock()
	defer n.lock.Unlock()
	switch message {
	case "starting plugin":
		n.began = time.Now()
	case "plugin started":
		if found := startedPattern.FindStringSubmatch(extras); found != nil {
			n.pid, _ = strconv.Atoi(found[1])
			n.ended[n.pid] = make(chan struct{})
		}
	case "using plugin":
		n.connected = time.Now()
		n.started(n.pid, n.connected.Sub(n.began))
	case "plugin process exited":
		if found := exitedPattern.FindStringSubmatch(extras); found != nil {
			pid, _ := strconv.Atoi(found[1])
			n.fates[pid] = fate(pid, found[2])
			if ended := n.ended[pid]; ended != nil {
				close(ended)
			}
			n.exited(n.fates[pid])
		}
	case "Plugin OnDeactivate() failed to complete in 10 seconds":
		n.timedOut = true
	case "Plugin OnDeactivate() error":
		n.stopError = failed
	default:
		if found := failedPattern.FindStringSubmatch(message); found != nil {
			n.failures++
			n.lastFailed = failed
			if strings.Contains(message, "OnDeactivate") {
				n.stopError = failed
			}
		}
	}
}

// fate reads os.ProcessState's words.
func fate(pid int, text string) object {
	facts := object{"pid": pid, "exit_code": nil, "signal": nil, "sigkill": false}
	if text == "" {
		facts["exit_code"] = 0
	} else if code, ok := strings.CutPrefix(text, "exit status "); ok {
		facts["exit_code"], _ = strconv.Atoi(code)
	} else if name, ok := strings.CutPrefix(text, "signal: "); ok {
		name, _, _ = strings.Cut(name, " (core dumped)")
		for number := syscall.Signal(1); number < 32; number++ {
			if number.String() == name {
				facts["signal"] = int(number)
			}
		}
		facts["sigkill"] = name == syscall.SIGKILL.String()
	}
	return facts
}

// forget is called before an order whose outcome the notes shall tell.
func (n *notes) forget() {
	n.lock.Lock()
	defer n.lock.Unlock()
	n.timedOut, n.stopError, n.failures, n.lastFailed = false, "", 0, ""
}

func (n *notes) fateOf(pid int) object {
	n.lock.Lock()
	defer n.lock.Unlock()
	if known := n.fates[pid]; known != nil {
		return known
	}
	return fate(pid, "?")
}

func (n *notes) now() (pid int, connected time.Time, failures int, failed string) {
	n.lock.Lock()
	defer n.lock.Unlock()
	return n.pid, n.connected, n.failures, n.lastFailed
}

// gone is closed when the process has ended; nil for one that never was.
func (n *notes) gone(pid int) <-chan struct{} {
	n.lock.Lock()
	defer n.lock.Unlock()
	return n.ended[pid]
}
