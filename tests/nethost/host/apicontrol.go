package main

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/mattermost/mattermost/server/public/model"
	"github.com/mattermost/mattermost/server/public/plugin"

	front "mm_asgi/gofront"
)

// apiRoutes are what a test asks of the server behind the plugin's API, as tests/gohost has them.
func (a *serverAPI) routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/calls", front.Answer(a.seen))
	mux.HandleFunc("GET /api/state", front.Answer(a.stateNow))
	mux.HandleFunc("POST /api/await", front.Answer(a.awaitOrder))
	mux.HandleFunc("POST /api/faults", front.Answer(a.setFaults))
	mux.HandleFunc("POST /api/release", front.Answer(a.releaseHeld))
	mux.HandleFunc("POST /api/config", front.Answer(a.setConfig))
	mux.HandleFunc("POST /api/file", front.Answer(a.putFile))
	mux.HandleFunc("POST /api/post", front.Answer(a.userPost))
	mux.HandleFunc("POST /api/upload", front.Answer(a.userUpload))
	mux.HandleFunc("POST /api/command", front.Answer(a.userCommand))
	mux.HandleFunc("POST /api/settle", front.Answer(a.settle))
}

var fine = object{"ok": true}

func (a *serverAPI) seen(r *http.Request) (object, error) {
	since, _ := strconv.Atoi(r.URL.Query().Get("since"))
	a.lock.Lock()
	defer a.lock.Unlock()
	calls := make([]apiCall, 0, len(a.calls))
	for _, call := range a.calls[min(since, len(a.calls)):] {
		calls = append(calls, *call)
	}
	return object{"calls": calls, "total": len(a.calls), "held": a.held, "target": "", "serving": true}, nil
}

func (a *serverAPI) stateNow(*http.Request) (object, error) {
	s := a.state
	posts := s.allPosts()
	s.lock.Lock()
	defer s.lock.Unlock()
	keys, commands, channels := object{}, []*model.Command{}, object{}
	for key := range s.keys {
		if value := s.value(key); value != nil {
			keys[key] = base64.StdEncoding.EncodeToString(value)
		}
	}
	for _, command := range s.commands {
		commands = append(commands, command)
	}
	for id, channel := range s.channels {
		channels[channel.Name] = id
	}
	return object{
		"posts": posts, "ephemeral": append([]ephemeral{}, s.shown...), "keys": keys, "commands": commands,
		"events": append([]object{}, s.events...), "team_id": s.team.Id, "channels": channels,
	}, nil
}

// awaitOrder waits for calls of a name to have come, or with `ended` to have been answered, or for
// so many that are held.
func (a *serverAPI) awaitOrder(r *http.Request) (object, error) {
	var order struct {
		Call  string `json:"call"`
		Count int    `json:"count"`
		Ended bool   `json:"ended"`
		Held  int    `json:"held"`
	}
	if err := front.Read(r, &order); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	return fine, a.await(ctx, func() bool {
		count := 0
		for _, call := range a.calls {
			if call.Call == order.Call && (!order.Ended || call.Code != "") {
				count++
			}
		}
		return count >= order.Count && a.held >= order.Held
	})
}

// setFaults replaces all faults.
func (a *serverAPI) setFaults(r *http.Request) (object, error) {
	faults := []*apiFault{}
	if err := front.Read(r, &faults); err != nil {
		return nil, err
	}
	a.lock.Lock()
	defer a.lock.Unlock()
	a.faults = faults
	return fine, nil
}

func (a *serverAPI) releaseHeld(*http.Request) (object, error) {
	a.letGo()
	return fine, nil
}

func (a *serverAPI) setConfig(r *http.Request) (object, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	return fine, a.state.configure(body)
}

// putFile keeps a file of `size` bytes, 0 to 255 over and over, without asking the plugin.
func (a *serverAPI) putFile(r *http.Request) (object, error) {
	var order struct {
		Name string `json:"name"`
		Size int    `json:"size"`
	}
	if err := front.Read(r, &order); err != nil {
		return nil, err
	}
	info := &model.FileInfo{Id: front.NewID(), Name: order.Name, Size: int64(order.Size), CreatorId: "alice"}
	a.state.store(info, pattern(order.Size))
	return object{"id": info.Id}, nil
}

func pattern(size int) []byte {
	data := make([]byte, size)
	for at := range data {
		data[at] = byte(at)
	}
	return data
}

// userPost is a user's own post.
func (a *serverAPI) userPost(r *http.Request) (object, error) {
	var order struct{ User, Channel, Message string }
	if err := front.Read(r, &order); err != nil {
		return nil, err
	}
	channelID, err := a.state.channelID(order.Channel)
	if err != nil {
		return nil, err
	}
	from := userContext()
	post, failed := a.state.createPost(&model.Post{UserId: order.User, ChannelId: channelID, Message: order.Message}, from)
	return outcome("post", post, failed, from), nil
}

// userUpload is a file that a user uploads: `size` bytes as putFile makes them.
func (a *serverAPI) userUpload(r *http.Request) (object, error) {
	var order struct {
		User, Channel, Name string
		Size                int
	}
	if err := front.Read(r, &order); err != nil {
		return nil, err
	}
	channelID, err := a.state.channelID(order.Channel)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	info, failed := a.state.upload(order.Name, channelID, order.User, pattern(order.Size))
	facts := outcome("file", info, failed, userContext())
	facts["ms"] = front.MS(began)
	return facts, nil
}

// userCommand is a slash command that a user types.
func (a *serverAPI) userCommand(r *http.Request) (object, error) {
	var order struct{ User, Channel, Command string }
	if err := front.Read(r, &order); err != nil {
		return nil, err
	}
	channelID, err := a.state.channelID(order.Channel)
	if err != nil {
		return nil, err
	}
	from := userContext()
	response, failed := a.state.execute(&model.CommandArgs{
		UserId: order.User, ChannelId: channelID, TeamId: a.state.team.Id, Command: order.Command,
	}, from)
	return outcome("response", response, failed, from), nil
}

// settle waits until the hooks that only tell have ended, those that they cause included.
func (a *serverAPI) settle(*http.Request) (object, error) {
	a.state.beside.Wait()
	return fine, nil
}

func (s *state) channelID(name string) (string, error) {
	channel, ok := find(s, s.channels, func(c *model.Channel) bool { return c.Name == name })
	if !ok {
		return "", errors.New("there is no channel " + strconv.Quote(name))
	}
	return channel.Id, nil
}

// userContext is what hooks know of a user's own request.
func userContext() *plugin.Context {
	return &plugin.Context{RequestId: front.NewID(), IPAddress: "127.0.0.1", UserAgent: "gohost"}
}

// outcome is what a user sees: the message, or the error as the browser gets it.
func outcome[T any](name string, message T, failed *model.AppError, from *plugin.Context) object {
	facts := object{name: nil, "error": nil, "request_id": from.RequestId}
	if failed != nil {
		facts["error"] = object{"id": failed.Id, "message": failed.Message, "detailed_error": failed.DetailedError, "status_code": failed.StatusCode, "where": failed.Where}
	} else {
		facts[name] = message
	}
	return facts
}
