// Command goplugin is a plugin in Go for the benchmarks and for a first look at the host: the app of
// tests/benchmarks/apps with the plugin package's own client.
//
//	/, hello, item          fixed answers, as text and as JSON
//	up                      reads the body: its length, and with ?hash=1 its SHA-256
//	down?bytes=N            N zero bytes
//	events?count=N          an event at once, then one each second
//	user?id=ID              one API call: the name of a user
//	calls?workers=N&seconds=S   API calls again and again, with what they took
//	whoami                  what the host says of the request
//	env, stop?code=N        the process: environment and working directory; its end
//
// Its hooks: MessageWillBePosted marks a post, refuses one that says "refuse" and ends the process at
// one that says "crash"; MessageHasBeenPosted does nothing; FileWillBeUploaded turns the bytes round;
// ExecuteCommand answers /hello.
package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/mattermost/mattermost/server/public/model"
	"github.com/mattermost/mattermost/server/public/plugin"

	front "mm_asgi/gofront"
)

type benchmarked struct{ plugin.MattermostPlugin }

func main() { plugin.ClientMain(&benchmarked{}) }

func (p *benchmarked) OnActivate() error {
	return p.API.RegisterCommand(&model.Command{Trigger: "hello", AutoComplete: true, AutoCompleteDesc: "Say hello"})
}

var chunk [64 * 1024]byte

func (p *benchmarked) ServeHTTP(c *plugin.Context, w http.ResponseWriter, r *http.Request) {
	switch path.Base(r.URL.Path) {
	case "/", "hello":
		write(w, "text/plain", []byte("Hello, world!"))
	case "item":
		text, _ := json.Marshal(item{ID: 1, Name: "teapot", Price: 12.5, Tags: []string{"kitchen", "blue"}})
		write(w, "application/json", text)
	case "up":
		up(w, r)
	case "down":
		down(w, r)
	case "events":
		events(w, r)
	case "user":
		p.user(w, r)
	case "calls":
		p.calls(w, r)
	case "whoami":
		text, _ := json.Marshal(map[string]any{"context": c, "user": r.Header.Get("Mattermost-User-Id"), "url": r.URL.String(), "header": r.Header})
		write(w, "application/json", text)
	case "env":
		folder, _ := os.Getwd()
		text, _ := json.Marshal(map[string]any{"environment": os.Environ(), "folder": folder, "pid": os.Getpid()})
		write(w, "application/json", text)
	case "stop":
		code, _ := strconv.Atoi(r.URL.Query().Get("code"))
		os.Exit(code)
	default:
		http.NotFound(w, r)
	}
}

type item struct {
	ID    int      `json:"id"`
	Name  string   `json:"name"`
	Price float64  `json:"price"`
	Tags  []string `json:"tags"`
}

func write(w http.ResponseWriter, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

// up reads the body; 500 when it is not as long as was announced.
func up(w http.ResponseWriter, r *http.Request) {
	hash := sha256.New()
	into := io.Discard
	if r.URL.Query().Has("hash") {
		into = hash
	}
	size, err := io.Copy(into, r.Body)
	expected, _ := strconv.ParseInt(r.Header.Get("Content-Length"), 10, 64)
	if err != nil || size != expected {
		http.Error(w, fmt.Sprint(size, " bytes of ", expected, ": ", err), http.StatusInternalServerError)
		return
	}
	text := strconv.FormatInt(size, 10)
	if r.URL.Query().Has("hash") {
		text = fmt.Sprintf("%d %x", size, hash.Sum(nil))
	}
	write(w, "text/plain", []byte(text))
}

func down(w http.ResponseWriter, r *http.Request) {
	left, err := strconv.Atoi(r.URL.Query().Get("bytes"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(left))
	for left > 0 {
		n, err := w.Write(chunk[:min(left, len(chunk))])
		if err != nil {
			return
		}
		left -= n
	}
}

func events(w http.ResponseWriter, r *http.Request) {
	count, err := strconv.Atoi(r.URL.Query().Get("count"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for number := range count {
		if number > 0 {
			time.Sleep(time.Second)
		}
		if _, err := fmt.Fprintf(w, "data: %08d\n\n", number); err != nil {
			return
		}
		if flusher, ok := w.(http.Flusher); ok {
			flusher.Flush()
		}
	}
}

func (p *benchmarked) user(w http.ResponseWriter, r *http.Request) {
	user, failed := p.API.GetUser(r.URL.Query().Get("id"))
	if failed != nil {
		http.Error(w, failed.Id, failed.StatusCode)
		return
	}
	write(w, "text/plain", []byte(user.Username))
}

func (p *benchmarked) calls(w http.ResponseWriter, r *http.Request) {
	workers, workersErr := strconv.Atoi(r.URL.Query().Get("workers"))
	seconds, secondsErr := strconv.ParseFloat(r.URL.Query().Get("seconds"), 64)
	if err := errors.Join(workersErr, secondsErr); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	before := processorTime()
	report := front.Hammer{Workers: workers, For: time.Duration(seconds * float64(time.Second))}.Run(func(int) error {
		if _, failed := p.API.GetUser("alice"); failed != nil {
			return failed
		}
		return nil
	})
	if report.Errors > 0 {
		http.Error(w, report.FirstError, http.StatusInternalServerError)
		return
	}
	text, _ := json.Marshal(map[string]float64{
		"rate": float64(report.Count) / report.Seconds, "p50": report.P50 / 1000, "p99": report.P99 / 1000,
		"cpu": (processorTime() - before) / float64(report.Count) * 1e6,
	})
	write(w, "application/json", text)
}

// processorTime is what this process has used so far, in seconds.
func processorTime() float64 {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds()
}

func (p *benchmarked) MessageWillBePosted(_ *plugin.Context, post *model.Post) (*model.Post, string) {
	switch post.Message {
	case "refuse":
		return nil, "no"
	case "crash":
		os.Exit(3)
	}
	post.Message += " (seen)"
	return post, ""
}

func (p *benchmarked) MessageHasBeenPosted(*plugin.Context, *model.Post) {}

func (p *benchmarked) FileWillBeUploaded(_ *plugin.Context, info *model.FileInfo, from io.Reader, to io.Writer) (*model.FileInfo, string) {
	data, err := io.ReadAll(from)
	if err != nil {
		return nil, err.Error()
	}
	slices.Reverse(data)
	if _, err := to.Write(data); err != nil {
		return nil, err.Error()
	}
	info.Name = strings.ToUpper(info.Name)
	return info, ""
}

func (p *benchmarked) ExecuteCommand(_ *plugin.Context, args *model.CommandArgs) (*model.CommandResponse, *model.AppError) {
	return &model.CommandResponse{ResponseType: model.CommandResponseTypeEphemeral, Text: "Hello " + args.UserId}, nil
}
