package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	front "mm_asgi/gofront"
	"mm_asgi/gohost/pb"
)

var errNoAPI = errors.New("gohost runs without -api")

// apiRoutes are what a test asks of the PluginAPI server; README.md has them.
func (c *control) apiRoutes(mux *http.ServeMux) {
	with := func(do func(*apiServer, *http.Request) (object, error)) http.HandlerFunc {
		return front.Answer(func(r *http.Request) (object, error) {
			if c.host.api == nil {
				return nil, errNoAPI
			}
			return do(c.host.api, r)
		})
	}
	mux.HandleFunc("GET /api/calls", with(apiCalls))
	mux.HandleFunc("GET /api/state", with(apiStateNow))
	mux.HandleFunc("POST /api/await", with(apiAwait))
	mux.HandleFunc("POST /api/faults", with(apiFaults))
	mux.HandleFunc("POST /api/release", with(apiRelease))
	mux.HandleFunc("POST /api/stop", with(apiStop))
	mux.HandleFunc("POST /api/start", with(apiStart))
	mux.HandleFunc("POST /api/config", with(apiConfig))
	mux.HandleFunc("POST /api/file", with(apiFile))
	mux.HandleFunc("POST /api/post", with(apiPost))
	mux.HandleFunc("POST /api/command", with(apiCommand))
	mux.HandleFunc("POST /api/settle", with(apiSettle))
}

var fine = object{"ok": true}

func apiCalls(a *apiServer, r *http.Request) (object, error) {
	since, _ := strconv.Atoi(r.URL.Query().Get("since"))
	a.lock.Lock()
	defer a.lock.Unlock()
	calls := make([]apiCall, 0, len(a.calls))
	for _, call := range a.calls[min(since, len(a.calls)):] {
		calls = append(calls, *call)
	}
	return object{"calls": calls, "total": len(a.calls), "held": a.held, "target": a.address, "serving": a.server != nil}, nil
}

func apiStateNow(a *apiServer, _ *http.Request) (object, error) {
	s := a.state
	posts := s.allPosts()
	s.lock.Lock()
	defer s.lock.Unlock()
	keys, commands, channels := object{}, []protoJSONObject{}, object{}
	for key := range s.keys {
		if value := s.value(key); value != nil {
			keys[key] = base64.StdEncoding.EncodeToString(value)
		}
	}
	for _, command := range s.commands {
		commands = append(commands, protoJSONObject{command})
	}
	for id, channel := range s.channels {
		channels[channel.Name] = id
	}
	return object{
		"posts": posts, "ephemeral": append([]ephemeral{}, s.shown...), "keys": keys, "commands": commands,
		"events": append([]object{}, s.events...), "team_id": s.team.Id, "channels": channels,
	}, nil
}

// apiAwait waits for calls of a name to have come, or with `ended` to have been answered, or for so
// many that are held.
func apiAwait(a *apiServer, r *http.Request) (object, error) {
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

// apiFaults replaces all faults.
func apiFaults(a *apiServer, r *http.Request) (object, error) {
	faults := []*apiFault{}
	if err := front.Read(r, &faults); err != nil {
		return nil, err
	}
	a.lock.Lock()
	defer a.lock.Unlock()
	a.faults = faults
	return fine, nil
}

func apiRelease(a *apiServer, _ *http.Request) (object, error) {
	a.letGo()
	return fine, nil
}

func apiStop(a *apiServer, r *http.Request) (object, error) {
	var order struct {
		Gracefully bool `json:"gracefully"`
	}
	if err := front.Read(r, &order); err != nil {
		return nil, err
	}
	a.stop(order.Gracefully)
	return fine, nil
}

func apiStart(a *apiServer, _ *http.Request) (object, error) { return fine, a.start() }

func apiConfig(a *apiServer, r *http.Request) (object, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if !json.Valid(body) {
		return nil, errors.New("the configuration is no JSON")
	}
	a.state.lock.Lock()
	defer a.state.lock.Unlock()
	a.state.config = body
	return fine, nil
}

// apiFile keeps a file of `size` bytes, 0 to 255 over and over, without asking the plugin.
func apiFile(a *apiServer, r *http.Request) (object, error) {
	var order struct {
		Name string `json:"name"`
		Size int    `json:"size"`
	}
	if err := front.Read(r, &order); err != nil {
		return nil, err
	}
	data := make([]byte, order.Size)
	for i := range data {
		data[i] = byte(i)
	}
	info := &pb.FileInfo{Id: front.NewID(), Name: order.Name, Size: int64(order.Size), CreatorId: "alice"}
	a.state.lock.Lock()
	defer a.state.lock.Unlock()
	a.state.files[info.Id] = &storedFile{info, data}
	return object{"id": info.Id}, nil
}

// apiPost is a user's own post.
func apiPost(a *apiServer, r *http.Request) (object, error) {
	var order struct{ User, Channel, Message string }
	if err := front.Read(r, &order); err != nil {
		return nil, err
	}
	channelID, err := a.state.channelID(order.Channel)
	if err != nil {
		return nil, err
	}
	from := a.state.context()
	post, err := a.state.createPost(&pb.Post{UserId: order.User, ChannelId: channelID, Message: order.Message}, from)
	return outcome("post", post, err, from)
}

// apiCommand is a slash command that a user types.
func apiCommand(a *apiServer, r *http.Request) (object, error) {
	var order struct{ User, Channel, Command string }
	if err := front.Read(r, &order); err != nil {
		return nil, err
	}
	channelID, err := a.state.channelID(order.Channel)
	if err != nil {
		return nil, err
	}
	from := a.state.context()
	response, err := a.state.execute(&pb.CommandArgs{
		UserId: order.User, ChannelId: channelID, TeamId: a.state.team.Id, Command: order.Command,
	}, from)
	return outcome("response", response, err, from)
}

// apiSettle waits until the hooks that only tell have ended, those that they cause included.
func apiSettle(a *apiServer, _ *http.Request) (object, error) {
	a.state.beside.Wait()
	return fine, nil
}

func (s *apiState) channelID(name string) (string, error) {
	channel, ok := find(s, s.channels, func(c *pb.Channel) bool { return c.Name == name })
	if !ok {
		return "", errors.New("there is no channel " + strconv.Quote(name))
	}
	return channel.Id, nil
}

// context is what hooks know of a user's own request.
func (s *apiState) context() *pb.PluginContext {
	return &pb.PluginContext{RequestId: front.NewID(), IpAddress: "127.0.0.1", UserAgent: "gohost"}
}

// outcome is what a user sees: the message, or the error as the browser gets it.
func outcome(name string, message proto.Message, err error, from *pb.PluginContext) (object, error) {
	facts := object{name: nil, "error": nil, "request_id": from.GetRequestId()}
	var failed *appError
	if errors.As(err, &failed) {
		facts["error"] = object{"id": failed.id, "detailed_error": strings.TrimSpace(failed.detail), "status_code": failed.status, "where": failed.where}
	} else if err != nil {
		return nil, err
	} else {
		facts[name] = protoJSONObject{message}
	}
	return facts, nil
}
