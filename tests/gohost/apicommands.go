package main

import (
	"context"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	front "mm_asgi/gofront"
	"mm_asgi/gohost/pb"
)

func (h apiHandlers) RegisterCommand(_ context.Context, r *pb.RegisterCommandRequest) (*pb.RegisterCommandResponse, error) {
	given := r.GetCommand()
	if given == nil {
		return nil, status.Error(codes.InvalidArgument, "command is required")
	}
	if given.GetTrigger() == "" {
		return nil, status.Error(codes.Internal, "internal error: invalid command")
	}
	trigger := strings.ToLower(given.GetTrigger())
	h.lock.Lock()
	defer h.lock.Unlock()
	// plugin_commands.go keeps these alone.
	h.commands[given.GetTeamId()+" "+trigger] = &pb.Command{
		Trigger: trigger, TeamId: given.GetTeamId(), DisplayName: given.GetDisplayName(), AutoComplete: given.GetAutoComplete(),
		AutoCompleteDesc: given.GetAutoCompleteDesc(), AutoCompleteHint: given.GetAutoCompleteHint(),
	}
	return &pb.RegisterCommandResponse{}, nil
}

func (h apiHandlers) UnregisterCommand(_ context.Context, r *pb.UnregisterCommandRequest) (*pb.UnregisterCommandResponse, error) {
	h.lock.Lock()
	defer h.lock.Unlock()
	delete(h.commands, r.GetTeamId()+" "+strings.ToLower(r.GetTrigger()))
	return &pb.UnregisterCommandResponse{}, nil
}

// execute is what a user's slash command does: it reaches the plugin only when it is registered, and
// what the plugin answers is shown.
func (s *apiState) execute(args *pb.CommandArgs, from *pb.PluginContext) (*pb.CommandResponse, error) {
	words := strings.Fields(args.GetCommand())
	if len(words) == 0 || !strings.HasPrefix(words[0], "/") {
		return nil, fail("command", "api.command.execute_command.format.app_error", 400)
	}
	trigger := strings.ToLower(words[0][1:])
	_, ok := find(s, s.commands, func(c *pb.Command) bool {
		return c.Trigger == trigger && (c.TeamId == "" || c.TeamId == args.GetTeamId())
	})
	if !ok {
		return nil, fail("command", "api.command.execute_command.not_found.app_error", 404)
	}
	args.TriggerId = front.NewID()
	answer, asked := ask(s, "ExecuteCommand", func(h *hooks, ctx context.Context, r *pb.ExecuteCommandRequest) (*pb.ExecuteCommandResponse, error) {
		return h.pb.ExecuteCommand(ctx, r)
	}, &pb.ExecuteCommandRequest{PluginContext: from, Args: args})
	switch {
	case !asked:
		return nil, fail("ExecuteCommand", "plugin.grpc.execute_command.error", 500)
	case answer.GetError() != nil:
		e := answer.GetError()
		return nil, &appError{where: e.GetWhere(), id: e.GetId(), message: e.GetId(), detail: e.GetDetailedError(), status: int(e.GetStatusCode())}
	case answer.GetResponse() == nil:
		return nil, fail("command", "api.command.execute_command.not_found.app_error", 404)
	}
	response := answer.GetResponse()
	return response, s.showAnswer(args, response, from)
}

// showAnswer makes a post of an answer's text: for all in_channel, for the user alone otherwise.
func (s *apiState) showAnswer(args *pb.CommandArgs, response *pb.CommandResponse, from *pb.PluginContext) error {
	channelID := response.GetChannelId()
	if channelID == "" {
		channelID = args.GetChannelId()
	}
	post := &pb.Post{
		ChannelId: channelID, UserId: args.GetUserId(), RootId: args.GetRootId(), Message: response.GetText(),
		Props: response.GetProps(),
	}
	if response.GetResponseType() == "in_channel" {
		_, err := s.createPost(post, from)
		return err
	}
	if response.GetText() != "" {
		s.show(args.GetUserId(), post)
	}
	return nil
}
