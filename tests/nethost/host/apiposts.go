package main

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mattermost/mattermost/server/public/model"
	"github.com/mattermost/mattermost/server/public/plugin"

	front "mm_asgi/gofront"
)

const noSuchPost = "app.post.get.app_error"

// each runs a hook over the active plugins that list it.
func (s *state) each(hookID int, run func(plugin.Hooks) bool) {
	s.environment().RunMultiPluginHook(func(hooks plugin.Hooks, _ *model.Manifest) bool { return run(hooks) }, hookID)
}

// filter lets the plugin change a post or refuse it, as app/post.go does.
func (s *state) filter(hookID int, where string, post *model.Post, ask func(plugin.Hooks, *model.Post) (*model.Post, string)) (*model.Post, *model.AppError) {
	reason := ""
	s.each(hookID, func(hooks plugin.Hooks) bool {
		replacement, rejection := ask(hooks, post.ForPlugin())
		if rejection != "" {
			reason = rejection
			return false
		}
		if replacement != nil {
			post = replacement
		}
		return true
	})
	switch {
	case reason == plugin.DismissPostError:
		return nil, fail(where, reason, 400)
	case reason != "":
		return nil, fail(where, "Post rejected by plugin. "+reason, 400)
	case utf8.RuneCountInString(post.Message) > model.PostMessageMaxRunesV2:
		return nil, fail("Post.IsValid", "model.post.is_valid.message_length.app_error", 400)
	}
	return post, nil
}

// createPost is the same for a user's post and for a plugin's: MessageWillBePosted has its say, the
// post is kept, and MessageHasBeenPosted tells of it.
func (s *state) createPost(given *model.Post, from *plugin.Context) (*model.Post, *model.AppError) {
	if _, ok := lookup(s, s.channels, given.ChannelId); !ok {
		return nil, fail("CreatePostMissingChannel", "app.channel.get.existing.app_error", 404)
	}
	if _, ok := lookup(s, s.users, given.UserId); !ok {
		return nil, fail("CreatePost", missingAccount, 404)
	}
	if given.Id != "" {
		return nil, fail("CreatePost", "app.post.save.existing.app_error", 400)
	}
	post, failed := s.filter(plugin.MessageWillBePostedID, "createPost", given.Clone(), func(hooks plugin.Hooks, post *model.Post) (*model.Post, string) {
		return hooks.MessageWillBePosted(from, post)
	})
	if failed != nil {
		return nil, failed
	}
	post.Id, post.CreateAt = front.NewID(), time.Now().UnixMilli()
	post.UpdateAt = post.CreateAt
	s.keep(post)
	s.beside.Go(func() {
		s.each(plugin.MessageHasBeenPostedID, func(hooks plugin.Hooks) bool {
			hooks.MessageHasBeenPosted(from, post.ForPlugin())
			return true
		})
	})
	return post, nil
}

func (s *state) keep(post *model.Post) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.posts[post.Id] = post
}

// updatePost changes the text; MessageWillBeUpdated has its say, MessageHasBeenUpdated tells of it.
func (s *state) updatePost(given *model.Post) (*model.Post, *model.AppError) {
	old, ok := lookup(s, s.posts, given.Id)
	switch {
	case !ok && given.Id == "":
		return nil, fail("UpdatePost", noSuchPost, 400)
	case !ok:
		return nil, fail("UpdatePost", noSuchPost, 404)
	case old.DeleteAt != 0:
		return nil, fail("UpdatePost", "api.post.update_post.permissions_details.app_error", 400)
	}
	post := old.Clone()
	if post.Message != given.Message {
		post.Message, post.EditAt = given.Message, time.Now().UnixMilli()
	}
	post.IsPinned, post.FileIds = given.IsPinned, given.FileIds
	post.SetProps(given.GetProps())
	from := &plugin.Context{}
	post, failed := s.filter(plugin.MessageWillBeUpdatedID, "UpdatePost", post, func(hooks plugin.Hooks, post *model.Post) (*model.Post, string) {
		return hooks.MessageWillBeUpdated(from, post, old.ForPlugin())
	})
	if failed != nil {
		return nil, failed
	}
	post = post.Clone()
	post.UpdateAt = time.Now().UnixMilli()
	s.keep(post)
	s.beside.Go(func() {
		s.each(plugin.MessageHasBeenUpdatedID, func(hooks plugin.Hooks) bool {
			hooks.MessageHasBeenUpdated(from, post.ForPlugin(), old.ForPlugin())
			return true
		})
	})
	return post, nil
}

// show is an ephemeral post: nothing is checked, and no hook hears of it.
func (s *state) show(userID string, given *model.Post) *model.Post {
	post := given.Clone()
	post.Type = model.PostTypeEphemeral
	if post.Id == "" {
		post.Id = front.NewID()
	}
	if post.CreateAt == 0 {
		post.CreateAt = time.Now().UnixMilli()
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	s.shown = append(s.shown, ephemeral{userID, post})
	return post
}

// allPosts gives what is not deleted, the oldest first.
func (s *state) allPosts() []*model.Post {
	s.lock.Lock()
	defer s.lock.Unlock()
	all := []*model.Post{}
	for _, post := range s.posts {
		if post.DeleteAt == 0 {
			all = append(all, post)
		}
	}
	slices.SortFunc(all, func(a, b *model.Post) int {
		if a.CreateAt != b.CreateAt {
			return int(a.CreateAt - b.CreateAt)
		}
		return strings.Compare(a.Id, b.Id)
	})
	return all
}

// CreatePost follows `post` without a check, as the server does; so do the others below.
func (a *serverAPI) CreatePost(given *model.Post) (*model.Post, *model.AppError) {
	return serve(a, "CreatePost", []any{given}, func() (*model.Post, *model.AppError) {
		post := given.Clone()
		post.AddProp(model.PostPropsFromPlugin, "true")
		return a.state.createPost(post, &plugin.Context{})
	})
}

func (a *serverAPI) GetPost(postID string) (*model.Post, *model.AppError) {
	return serve(a, "GetPost", []any{postID}, func() (*model.Post, *model.AppError) {
		post, ok := lookup(a.state, a.state.posts, postID)
		if !ok || post.DeleteAt != 0 {
			return nil, fail("GetSinglePost", noSuchPost, 404)
		}
		return post, nil
	})
}

func (a *serverAPI) UpdatePost(post *model.Post) (*model.Post, *model.AppError) {
	return serve(a, "UpdatePost", []any{post}, func() (*model.Post, *model.AppError) { return a.state.updatePost(post) })
}

func (a *serverAPI) DeletePost(postID string) *model.AppError {
	return act(a, "DeletePost", []any{postID}, func() *model.AppError {
		post, ok := lookup(a.state, a.state.posts, postID)
		if !ok || post.DeleteAt != 0 {
			return fail("DeletePost", noSuchPost, 400)
		}
		gone := post.Clone()
		gone.DeleteAt = time.Now().UnixMilli()
		a.state.keep(gone)
		return nil
	})
}

func (a *serverAPI) SendEphemeralPost(userID string, post *model.Post) *model.Post {
	return tell(a, "SendEphemeralPost", []any{userID, post}, func() *model.Post { return a.state.show(userID, post) })
}
