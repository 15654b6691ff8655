package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mattermost/mattermost/server/public/model"
	"github.com/mattermost/mattermost/server/public/plugin"

	front "mm_asgi/gofront"
)

const missingAccount = "app.user.missing_account.const"

// state is a Mattermost in memory, the same as tests/gohost has: one team with two channels, and
// alice, bob and sysadmin, whose ids are their names.
type state struct {
	pluginID    string
	log         *front.Log
	environment func() *plugin.Environment

	beside sync.WaitGroup // hooks that only tell

	// What is below is never changed in place, only replaced: an answer is encoded later.
	lock     sync.Mutex
	users    map[string]*model.User
	team     *model.Team
	channels map[string]*model.Channel
	posts    map[string]*model.Post
	shown    []ephemeral
	keys     map[string]keyValue
	commands map[string]*model.Command // by team's id and trigger
	events   []object
	files    map[string]*storedFile
	config   json.RawMessage
	whole    *model.Config // config over the server's defaults
}

type ephemeral struct {
	UserID string      `json:"user_id"`
	Post   *model.Post `json:"post"`
}

func newState(pluginID string, log *front.Log, environment func() *plugin.Environment) *state {
	now := time.Now().UnixMilli()
	s := &state{
		pluginID: pluginID, log: log, environment: environment, users: map[string]*model.User{},
		channels: map[string]*model.Channel{}, posts: map[string]*model.Post{}, keys: map[string]keyValue{},
		commands: map[string]*model.Command{}, files: map[string]*storedFile{},
	}
	s.team = &model.Team{Id: front.NewID(), Name: "demo", DisplayName: "Demo", Type: model.TeamOpen, CreateAt: now, UpdateAt: now, Email: "sysadmin@example.com"}
	for _, name := range []string{"town-square", "off-topic"} {
		channel := &model.Channel{Id: front.NewID(), TeamId: s.team.Id, Type: model.ChannelTypeOpen, Name: name, DisplayName: name, CreateAt: now, UpdateAt: now}
		s.channels[channel.Id] = channel
	}
	for name, roles := range map[string]string{"alice": "system_user", "bob": "system_user", "sysadmin": "system_admin system_user"} {
		s.users[name] = &model.User{
			Id: name, Username: name, Email: name + "@example.com", EmailVerified: true, Roles: roles,
			Locale: "en", CreateAt: now, UpdateAt: now,
		}
	}
	s.setSiteURL("")
	return s
}

// setSiteURL makes the configuration anew: the part that plugins ask for.
func (s *state) setSiteURL(url string) {
	text, err := json.Marshal(object{
		"ServiceSettings": object{"SiteURL": url, "EnableCommands": true},
		"TeamSettings":    object{"SiteName": "Mattermost"},
		"PluginSettings":  object{"Enable": true, "Plugins": object{s.pluginID: object{}}},
	})
	if err == nil {
		err = s.configure(text)
	}
	if err != nil {
		panic(err)
	}
}

// configure replaces the configuration; what it leaves out has the server's default.
func (s *state) configure(text json.RawMessage) error {
	whole := &model.Config{}
	whole.SetDefaults()
	if err := json.Unmarshal(text, whole); err != nil {
		return err
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	s.config, s.whole = text, whole
	return nil
}

// granted is what the roles of Mattermost's start grant, as far as plugins often ask.
var granted = map[string][]string{
	"system_user":  {"list_public_teams", "join_public_teams", "create_direct_channel", "create_group_channel", "view_members", "create_team"},
	"team_user":    {"list_team_channels", "join_public_channels", "read_public_channel", "view_team", "create_public_channel", "create_private_channel", "invite_user"},
	"channel_user": {"read_channel", "add_reaction", "remove_reaction", "upload_file", "create_post", "edit_post", "delete_post", "use_slash_commands"},
}

// may says whether the user's own roles, or these as well, grant a permission.
func (s *state) may(userID string, permission *model.Permission, roles ...string) bool {
	s.lock.Lock()
	defer s.lock.Unlock()
	user := s.users[userID]
	if user == nil || user.DeleteAt != 0 || permission == nil {
		return false
	}
	for _, role := range append(strings.Fields(user.Roles), roles...) {
		if role == "system_admin" || slices.Contains(granted[role], permission.Id) {
			return true
		}
	}
	return false
}

func fail(where, id string, status int) *model.AppError {
	return model.NewAppError(where, id, nil, "", status)
}

func find[T any](s *state, all map[string]T, fits func(T) bool) (found T, ok bool) {
	s.lock.Lock()
	defer s.lock.Unlock()
	for _, one := range all {
		if fits(one) {
			return one, true
		}
	}
	return found, false
}

func lookup[T any](s *state, all map[string]T, id string) (T, bool) {
	s.lock.Lock()
	defer s.lock.Unlock()
	one, ok := all[id]
	return one, ok
}

// orFail turns a search's outcome into an answer.
func orFail[T any](found T, ok bool, where, id string) (T, *model.AppError) {
	if !ok {
		return found, fail(where, id, 404)
	}
	return found, nil
}

func (a *serverAPI) GetUser(userID string) (*model.User, *model.AppError) {
	return serve(a, "GetUser", []any{userID}, func() (*model.User, *model.AppError) {
		user, ok := lookup(a.state, a.state.users, userID)
		return orFail(user, ok, "GetUser", missingAccount)
	})
}

func (a *serverAPI) GetUserByUsername(name string) (*model.User, *model.AppError) {
	return serve(a, "GetUserByUsername", []any{name}, func() (*model.User, *model.AppError) {
		user, ok := find(a.state, a.state.users, func(u *model.User) bool { return u.Username == strings.ToLower(name) })
		return orFail(user, ok, "GetUserByUsername", "app.user.get_by_username.app_error")
	})
}

func (a *serverAPI) GetUserByEmail(email string) (*model.User, *model.AppError) {
	return serve(a, "GetUserByEmail", []any{email}, func() (*model.User, *model.AppError) {
		user, ok := find(a.state, a.state.users, func(u *model.User) bool { return u.Email == strings.ToLower(email) })
		return orFail(user, ok, "GetUserByEmail", missingAccount)
	})
}

func (a *serverAPI) GetTeam(teamID string) (*model.Team, *model.AppError) {
	return serve(a, "GetTeam", []any{teamID}, func() (*model.Team, *model.AppError) {
		if teamID != a.state.team.Id {
			return nil, fail("GetTeam", "app.team.get.find.app_error", 404)
		}
		return a.state.team, nil
	})
}

func (a *serverAPI) GetTeamByName(name string) (*model.Team, *model.AppError) {
	return serve(a, "GetTeamByName", []any{name}, func() (*model.Team, *model.AppError) {
		if name != a.state.team.Name {
			return nil, fail("GetTeamByName", "app.team.get_by_name.missing.app_error", 404)
		}
		return a.state.team, nil
	})
}

func (a *serverAPI) GetChannel(channelID string) (*model.Channel, *model.AppError) {
	return serve(a, "GetChannel", []any{channelID}, func() (*model.Channel, *model.AppError) {
		channel, ok := lookup(a.state, a.state.channels, channelID)
		return orFail(channel, ok, "GetChannel", "app.channel.get.existing.app_error")
	})
}

func (a *serverAPI) GetChannelByName(teamID, name string, includeDeleted bool) (*model.Channel, *model.AppError) {
	return serve(a, "GetChannelByName", []any{teamID, name, includeDeleted}, func() (*model.Channel, *model.AppError) {
		channel, ok := find(a.state, a.state.channels, func(c *model.Channel) bool { return c.Name == name && c.TeamId == teamID })
		return orFail(channel, ok, "GetChannelByName", "app.channel.get_by_name.missing.app_error")
	})
}

func (a *serverAPI) HasPermissionTo(userID string, permission *model.Permission) bool {
	return tell(a, "HasPermissionTo", []any{userID, permission}, func() bool { return a.state.may(userID, permission) })
}

func (a *serverAPI) HasPermissionToTeam(userID, teamID string, permission *model.Permission) bool {
	return tell(a, "HasPermissionToTeam", []any{userID, teamID, permission}, func() bool {
		return teamID == a.state.team.Id && a.state.may(userID, permission, "team_user")
	})
}

func (a *serverAPI) HasPermissionToChannel(userID, channelID string, permission *model.Permission) bool {
	return tell(a, "HasPermissionToChannel", []any{userID, channelID, permission}, func() bool {
		_, ok := lookup(a.state, a.state.channels, channelID)
		return ok && a.state.may(userID, permission, "team_user", "channel_user")
	})
}

func (a *serverAPI) GetConfig() *model.Config {
	return tell(a, "GetConfig", []any{}, func() *model.Config {
		a.state.lock.Lock()
		defer a.state.lock.Unlock()
		return a.state.whole
	})
}

// LoadPluginConfiguration gives the plugin's settings; plugin_api.go lowers their names.
func (a *serverAPI) LoadPluginConfiguration(into any) error {
	return a.around("LoadPluginConfiguration", []any{}, func() error {
		var config struct {
			PluginSettings struct{ Plugins map[string]map[string]any }
		}
		a.state.lock.Lock()
		text := a.state.config
		a.state.lock.Unlock()
		if err := json.Unmarshal(text, &config); err != nil {
			return err
		}
		var settings object // as JSON null when nothing is set, as on a server
		if set, ok := config.PluginSettings.Plugins[a.state.pluginID]; ok {
			settings = object{}
			for name, value := range set {
				settings[strings.ToLower(name)] = value
			}
		}
		encoded, err := json.Marshal(settings)
		if err != nil {
			return err
		}
		return json.Unmarshal(encoded, into)
	})
}

func (a *serverAPI) GetServerVersion() string {
	return tell(a, "GetServerVersion", []any{}, func() string { return model.CurrentVersion })
}

// PublishWebSocketEvent follows `broadcast` without a check, as the server does.
func (a *serverAPI) PublishWebSocketEvent(event string, payload map[string]any, to *model.WebsocketBroadcast) {
	tell(a, "PublishWebSocketEvent", []any{event, payload, to}, func() struct{} {
		a.state.lock.Lock()
		defer a.state.lock.Unlock()
		a.state.events = append(a.state.events, object{
			"name": "custom_" + a.state.pluginID + "_" + event, "data": payload, "omit_users": to.OmitUsers,
			"user_id": to.UserId, "channel_id": to.ChannelId, "team_id": to.TeamId,
		})
		return struct{}{}
	})
}

func (a *serverAPI) LogDebug(text string, pairs ...any) { a.logged("LogDebug", "debug", text, pairs) }
func (a *serverAPI) LogInfo(text string, pairs ...any)  { a.logged("LogInfo", "info", text, pairs) }
func (a *serverAPI) LogWarn(text string, pairs ...any)  { a.logged("LogWarn", "warn", text, pairs) }
func (a *serverAPI) LogError(text string, pairs ...any) { a.logged("LogError", "error", text, pairs) }

func (a *serverAPI) logged(call, level, text string, pairs []any) {
	tell(a, call, append([]any{text}, pairs...), func() struct{} {
		args := []any{"plugin_id", a.state.pluginID}
		for _, one := range pairs {
			args = append(args, plain(one))
		}
		a.state.log.Write(front.FromAPI, "", level, text, args)
		return struct{}{}
	})
}

// plain is a value that JSON can show; all others become text.
func plain(value any) any {
	if _, err := json.Marshal(value); err != nil {
		return fmt.Sprint(value)
	}
	return value
}
