package main

import (
	"errors"
	"net/url"
	"strings"

	"github.com/mattermost/mattermost/server/public/model"
	"github.com/mattermost/mattermost/server/public/plugin"

	front "mm_asgi/gofront"
)

func (a *serverAPI) RegisterCommand(command *model.Command) error {
	return a.around("RegisterCommand", []any{command}, func() error {
		if command.Trigger == "" {
			return errors.New("invalid command")
		}
		trigger := strings.ToLower(command.Trigger)
		if data := command.AutocompleteData; data != nil {
			if err := data.IsValid(); err != nil {
				return err
			}
			if err := data.UpdateRelativeURLsForPluginCommands(&url.URL{Path: "/plugins/" + a.state.pluginID}); err != nil {
				return err
			}
		}
		a.state.lock.Lock()
		defer a.state.lock.Unlock()
		// plugin_commands.go keeps these alone.
		a.state.commands[command.TeamId+" "+trigger] = &model.Command{
			Trigger: trigger, TeamId: command.TeamId, DisplayName: command.DisplayName,
			AutoComplete: command.AutoComplete, AutoCompleteDesc: command.AutoCompleteDesc, AutoCompleteHint: command.AutoCompleteHint,
			AutocompleteData: command.AutocompleteData, AutocompleteIconData: command.AutocompleteIconData,
		}
		return nil
	})
}

func (a *serverAPI) UnregisterCommand(teamID, trigger string) error {
	return a.around("UnregisterCommand", []any{teamID, trigger}, func() error {
		a.state.lock.Lock()
		defer a.state.lock.Unlock()
		delete(a.state.commands, teamID+" "+strings.ToLower(trigger))
		return nil
	})
}

// execute is what a user's slash command does: it reaches the plugin only when it is registered, and
// what the plugin answers is shown.
func (s *state) execute(args *model.CommandArgs, from *plugin.Context) (*model.CommandResponse, *model.AppError) {
	words := strings.Fields(args.Command)
	if len(words) == 0 || !strings.HasPrefix(words[0], "/") {
		return nil, fail("command", "api.command.execute_command.format.app_error", 400)
	}
	trigger := strings.ToLower(words[0][1:])
	_, ok := find(s, s.commands, func(c *model.Command) bool {
		return c.Trigger == trigger && (c.TeamId == "" || c.TeamId == args.TeamId)
	})
	hooks, err := s.environment().HooksForPlugin(s.pluginID)
	if !ok || err != nil {
		return nil, fail("command", "api.command.execute_command.not_found.app_error", 404)
	}
	args.TriggerId = front.NewID()
	response, failed := hooks.ExecuteCommand(from, args)
	if failed != nil {
		return nil, failed
	}
	if response == nil {
		return nil, fail("command", "api.command.execute_command.not_found.app_error", 404)
	}
	return response, s.showAnswer(args, response, from)
}

// showAnswer makes a post of an answer's text: for all in_channel, for the user alone otherwise.
func (s *state) showAnswer(args *model.CommandArgs, response *model.CommandResponse, from *plugin.Context) *model.AppError {
	channelID := response.ChannelId
	if channelID == "" {
		channelID = args.ChannelId
	}
	post := &model.Post{ChannelId: channelID, UserId: args.UserId, RootId: args.RootId, Message: response.Text}
	post.SetProps(response.Props)
	if response.ResponseType == model.CommandResponseTypeInChannel {
		_, failed := s.createPost(post, from)
		return failed
	}
	if response.Text != "" {
		s.show(args.UserId, post)
	}
	return nil
}
