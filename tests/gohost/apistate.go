package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	front "mm_asgi/gofront"
	"mm_asgi/gohost/pb"
)

const missingAccount = "app.user.missing_account.const"

// apiState is a Mattermost in memory: one team with two channels, and alice, bob and sysadmin, who
// are members of all three. A user's id is the name, so that it agrees with Mattermost-User-Id.
type apiState struct {
	pluginID string
	log      *hostLog
	hooks    func() *hooks // of the active plugin, or nil

	beside sync.WaitGroup // hooks that only tell

	// What is below is never changed in place, only replaced: an answer is marshalled later.
	lock     sync.Mutex
	users    map[string]*pb.User
	team     *pb.Team
	channels map[string]*pb.Channel
	posts    map[string]*pb.Post
	shown    []ephemeral
	keys     map[string]keyValue
	commands map[string]*pb.Command // by team's id and trigger
	events   []object
	files    map[string]*storedFile
	config   json.RawMessage
}

type ephemeral struct {
	UserID string          `json:"user_id"`
	Post   protoJSONObject `json:"post"`
}

func newAPIState(pluginID string, log *hostLog, active func() *hooks) *apiState {
	now := time.Now().UnixMilli()
	s := &apiState{
		pluginID: pluginID, log: log, hooks: active, users: map[string]*pb.User{},
		channels: map[string]*pb.Channel{}, posts: map[string]*pb.Post{}, keys: map[string]keyValue{},
		commands: map[string]*pb.Command{}, files: map[string]*storedFile{},
	}
	s.team = &pb.Team{Id: front.NewID(), Name: "demo", DisplayName: "Demo", CreateAt: now, UpdateAt: now, Email: "sysadmin@example.com"}
	for _, name := range []string{"town-square", "off-topic"} {
		channel := &pb.Channel{Id: front.NewID(), TeamId: s.team.Id, Name: name, DisplayName: name, CreateAt: now, UpdateAt: now}
		s.channels[channel.Id] = channel
	}
	for name, roles := range map[string]string{"alice": "system_user", "bob": "system_user", "sysadmin": "system_admin system_user"} {
		s.users[name] = &pb.User{
			Id: name, Username: name, Email: name + "@example.com", EmailVerified: true, Roles: roles,
			Locale: "en", CreateAt: now, UpdateAt: now,
		}
	}
	s.setSiteURL("")
	return s
}

// setSiteURL makes the configuration anew: the part that plugins ask for.
func (s *apiState) setSiteURL(url string) {
	encoded, err := json.Marshal(object{
		"ServiceSettings": object{"SiteURL": url, "EnableCommands": true},
		"TeamSettings":    object{"SiteName": "Mattermost"},
		"PluginSettings":  object{"Enable": true, "Plugins": object{s.pluginID: object{}}},
	})
	if err != nil {
		panic(err)
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	s.config = encoded
}

// granted is what the roles of Mattermost's start grant, as far as plugins often ask.
var granted = map[string][]string{
	"system_user":  {"list_public_teams", "join_public_teams", "create_direct_channel", "create_group_channel", "view_members", "create_team"},
	"team_user":    {"list_team_channels", "join_public_channels", "read_public_channel", "view_team", "create_public_channel", "create_private_channel", "invite_user"},
	"channel_user": {"read_channel", "add_reaction", "remove_reaction", "upload_file", "create_post", "edit_post", "delete_post", "use_slash_commands"},
}

// may says whether the user's own roles, or these as well, grant a permission.
func (s *apiState) may(userID, permission string, roles ...string) bool {
	s.lock.Lock()
	defer s.lock.Unlock()
	user := s.users[userID]
	if user == nil || user.DeleteAt != 0 {
		return false
	}
	for _, role := range append(strings.Fields(user.Roles), roles...) {
		if role == "system_admin" || slices.Contains(granted[role], permission) {
			return true
		}
	}
	return false
}

// apiHandlers has the calls alone. It embeds what makes the compiler ask for every one of them.
type apiHandlers struct {
	*apiState
	pb.UnsafePluginAPIServer
}

var _ pb.PluginAPIServer = apiHandlers{}

func find[T any](s *apiState, all map[string]T, fits func(T) bool) (found T, ok bool) {
	s.lock.Lock()
	defer s.lock.Unlock()
	for _, one := range all {
		if fits(one) {
			return one, true
		}
	}
	return found, false
}

func lookup[T any](s *apiState, all map[string]T, id string) (T, bool) {
	s.lock.Lock()
	defer s.lock.Unlock()
	one, ok := all[id]
	return one, ok
}

func (h apiHandlers) GetUser(_ context.Context, r *pb.GetUserRequest) (*pb.GetUserResponse, error) {
	user, ok := lookup(h.apiState, h.users, r.GetUserId())
	if !ok {
		return nil, fail("GetUser", missingAccount, 404)
	}
	return &pb.GetUserResponse{User: user}, nil
}

func (h apiHandlers) GetUserByUsername(_ context.Context, r *pb.GetUserByUsernameRequest) (*pb.GetUserByUsernameResponse, error) {
	user, ok := find(h.apiState, h.users, func(u *pb.User) bool { return u.Username == strings.ToLower(r.GetName()) })
	if !ok {
		return nil, fail("GetUserByUsername", "app.user.get_by_username.app_error", 404)
	}
	return &pb.GetUserByUsernameResponse{User: user}, nil
}

func (h apiHandlers) GetUserByEmail(_ context.Context, r *pb.GetUserByEmailRequest) (*pb.GetUserByEmailResponse, error) {
	user, ok := find(h.apiState, h.users, func(u *pb.User) bool { return u.Email == strings.ToLower(r.GetEmail()) })
	if !ok {
		return nil, fail("GetUserByEmail", missingAccount, 404)
	}
	return &pb.GetUserByEmailResponse{User: user}, nil
}

func (h apiHandlers) GetTeam(_ context.Context, r *pb.GetTeamRequest) (*pb.GetTeamResponse, error) {
	if r.GetTeamId() != h.team.Id {
		return nil, fail("GetTeam", "app.team.get.find.app_error", 404)
	}
	return &pb.GetTeamResponse{Team: h.team}, nil
}

func (h apiHandlers) GetTeamByName(_ context.Context, r *pb.GetTeamByNameRequest) (*pb.GetTeamByNameResponse, error) {
	if r.GetName() != h.team.Name {
		return nil, fail("GetTeamByName", "app.team.get_by_name.missing.app_error", 404)
	}
	return &pb.GetTeamByNameResponse{Team: h.team}, nil
}

func (h apiHandlers) GetChannel(_ context.Context, r *pb.GetChannelRequest) (*pb.GetChannelResponse, error) {
	channel, ok := lookup(h.apiState, h.channels, r.GetChannelId())
	if !ok {
		return nil, fail("GetChannel", "app.channel.get.existing.app_error", 404)
	}
	return &pb.GetChannelResponse{Channel: channel}, nil
}

func (h apiHandlers) GetChannelByName(_ context.Context, r *pb.GetChannelByNameRequest) (*pb.GetChannelByNameResponse, error) {
	channel, ok := find(h.apiState, h.channels, func(c *pb.Channel) bool {
		return c.Name == r.GetName() && c.TeamId == r.GetTeamId()
	})
	if !ok {
		return nil, fail("GetChannelByName", "app.channel.get_by_name.missing.app_error", 404)
	}
	return &pb.GetChannelByNameResponse{Channel: channel}, nil
}

func (h apiHandlers) HasPermissionTo(_ context.Context, r *pb.HasPermissionToRequest) (*pb.HasPermissionToResponse, error) {
	return &pb.HasPermissionToResponse{HasPermission: h.may(r.GetUserId(), r.GetPermissionId())}, nil
}

func (h apiHandlers) HasPermissionToTeam(_ context.Context, r *pb.HasPermissionToTeamRequest) (*pb.HasPermissionToTeamResponse, error) {
	has := r.GetTeamId() == h.team.Id && h.may(r.GetUserId(), r.GetPermissionId(), "team_user")
	return &pb.HasPermissionToTeamResponse{HasPermission: has}, nil
}

func (h apiHandlers) HasPermissionToChannel(_ context.Context, r *pb.HasPermissionToChannelRequest) (*pb.HasPermissionToChannelResponse, error) {
	_, ok := lookup(h.apiState, h.channels, r.GetChannelId())
	has := ok && h.may(r.GetUserId(), r.GetPermissionId(), "team_user", "channel_user")
	return &pb.HasPermissionToChannelResponse{HasPermission: has}, nil
}

func (h apiHandlers) GetConfig(context.Context, *pb.GetConfigRequest) (*pb.GetConfigResponse, error) {
	h.lock.Lock()
	defer h.lock.Unlock()
	return &pb.GetConfigResponse{ConfigJson: h.config}, nil
}

// LoadPluginConfiguration gives the plugin's settings; plugin_api.go lowers their names.
func (h apiHandlers) LoadPluginConfiguration(context.Context, *pb.LoadPluginConfigurationRequest) (*pb.LoadPluginConfigurationResponse, error) {
	var config struct {
		PluginSettings struct{ Plugins map[string]map[string]any }
	}
	h.lock.Lock()
	defer h.lock.Unlock()
	if err := json.Unmarshal(h.config, &config); err != nil {
		return nil, status.Errorf(codes.Internal, "internal error: %v", err)
	}
	var settings object // as JSON null when nothing is set, as on a server
	if set, ok := config.PluginSettings.Plugins[h.pluginID]; ok {
		settings = object{}
		for name, value := range set {
			settings[strings.ToLower(name)] = value
		}
	}
	encoded, err := json.Marshal(settings)
	return &pb.LoadPluginConfigurationResponse{ConfigJson: encoded}, err
}

func (h apiHandlers) GetServerVersion(context.Context, *pb.GetServerVersionRequest) (*pb.GetServerVersionResponse, error) {
	return &pb.GetServerVersionResponse{Version: "11.4.0"}, nil
}

// PublishWebSocketEvent follows `broadcast` without a check, as the server does.
func (h apiHandlers) PublishWebSocketEvent(_ context.Context, r *pb.PublishWebSocketEventRequest) (*pb.PublishWebSocketEventResponse, error) {
	to := r.Broadcast
	h.lock.Lock()
	defer h.lock.Unlock()
	h.events = append(h.events, object{
		"name": "custom_" + h.pluginID + "_" + r.GetEvent(), "data": r.GetPayload().AsMap(), "omit_users": to.OmitUsers,
		"user_id": to.UserId, "channel_id": to.ChannelId, "team_id": to.TeamId,
	})
	return &pb.PublishWebSocketEventResponse{}, nil
}

func (h apiHandlers) LogDebug(_ context.Context, r *pb.LogDebugRequest) (*pb.LogDebugResponse, error) {
	h.logged("debug", r)
	return &pb.LogDebugResponse{}, nil
}

func (h apiHandlers) LogInfo(_ context.Context, r *pb.LogInfoRequest) (*pb.LogInfoResponse, error) {
	h.logged("info", r)
	return &pb.LogInfoResponse{}, nil
}

func (h apiHandlers) LogWarn(_ context.Context, r *pb.LogWarnRequest) (*pb.LogWarnResponse, error) {
	h.logged("warn", r)
	return &pb.LogWarnResponse{}, nil
}

func (h apiHandlers) LogError(_ context.Context, r *pb.LogErrorRequest) (*pb.LogErrorResponse, error) {
	h.logged("error", r)
	return &pb.LogErrorResponse{}, nil
}

func (h apiHandlers) logged(level string, r interface {
	GetMsg() string
	GetKeyValuePairs() []*pb.KeyValuePair
}) {
	args := []any{"plugin_id", h.pluginID}
	for _, pair := range r.GetKeyValuePairs() {
		args = append(args, pair.GetKey(), pair.GetValue().AsInterface())
	}
	h.log.Write(front.FromAPI, "", level, r.GetMsg(), args)
}

// changed gives a copy with changes.
func changed[T proto.Message](message T, change func(T)) T {
	copied := proto.CloneOf(message)
	change(copied)
	return copied
}
