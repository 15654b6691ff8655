package main

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	front "mm_asgi/gofront"
	"mm_asgi/gohost/pb"
)

const noSuchPost = "app.post.get.app_error"

// ask calls a hook of the active plugin; a transport error is logged, and the server goes on as if
// nobody had been asked.
func ask[R, A any](s *apiState, name string, hook func(*hooks, context.Context, R) (A, error), request R) (answer A, asked bool) {
	active := s.hooks()
	if active == nil || !active.callable(name) {
		return answer, false
	}
	ctx, cancel := context.WithTimeout(context.Background(), hookTimeout)
	defer cancel()
	answer, err := hook(active, ctx, request)
	if err != nil {
		s.log.Host("error", "gRPC "+name+" call failed", "error", err)
	}
	return answer, err == nil
}

// hookPost is a post as hooks get it: the host carries no props, metadata or participants there.
func hookPost(post *pb.Post) *pb.Post {
	return changed(post, func(p *pb.Post) { p.Props, p.Metadata, p.Participants = nil, nil, nil })
}

// createPost is app/post.go's: MessageWillBePosted may change or refuse a post, then it is kept, and
// MessageHasBeenPosted tells of it. It is the same for a user's post and for a plugin's.
func (s *apiState) createPost(given *pb.Post, from *pb.PluginContext) (*pb.Post, error) {
	if _, ok := lookup(s, s.channels, given.GetChannelId()); !ok {
		return nil, fail("CreatePostMissingChannel", "app.channel.get.existing.app_error", 404)
	}
	if _, ok := lookup(s, s.users, given.GetUserId()); !ok {
		return nil, fail("CreatePost", missingAccount, 404)
	}
	if given.GetId() != "" {
		return nil, fail("CreatePost", "app.post.save.existing.app_error", 400)
	}
	post := proto.CloneOf(given)
	answer, asked := ask(s, "MessageWillBePosted", func(h *hooks, ctx context.Context, r *pb.MessageWillBePostedRequest) (*pb.MessageWillBePostedResponse, error) {
		return h.pb.MessageWillBePosted(ctx, r)
	}, &pb.MessageWillBePostedRequest{PluginContext: from, Post: hookPost(post)})
	if asked && answer.GetRejectionReason() != "" {
		return nil, rejected("createPost", answer.GetRejectionReason())
	}
	if asked && answer.GetModifiedPost() != nil {
		post = hookPost(answer.GetModifiedPost())
	}
	if err := checkPost(post); err != nil {
		return nil, err
	}
	post.Id, post.CreateAt = front.NewID(), time.Now().UnixMilli()
	post.UpdateAt = post.CreateAt
	s.lock.Lock()
	s.posts[post.Id] = post
	s.lock.Unlock()
	s.beside.Go(func() {
		ask(s, "MessageHasBeenPosted", func(h *hooks, ctx context.Context, r *pb.MessageHasBeenPostedRequest) (*pb.MessageHasBeenPostedResponse, error) {
			return h.pb.MessageHasBeenPosted(ctx, r)
		}, &pb.MessageHasBeenPostedRequest{PluginContext: from, Post: hookPost(post)})
	})
	return post, nil
}

func rejected(where, reason string) *appError {
	if reason == "plugin.message_will_be_posted.dismiss_post" {
		return fail(where, reason, 400)
	}
	return fail(where, "Post rejected by plugin. "+reason, 400)
}

func checkPost(post *pb.Post) error {
	if utf8.RuneCountInString(post.GetMessage()) > 16383 {
		return fail("Post.IsValid", "model.post.is_valid.message_length.app_error", 400)
	}
	return nil
}

// updatePost changes the text; MessageWillBeUpdated has its say, MessageHasBeenUpdated tells of it.
func (s *apiState) updatePost(given *pb.Post) (*pb.Post, error) {
	old, ok := lookup(s, s.posts, given.GetId())
	switch {
	case !ok && given.GetId() == "":
		return nil, fail("UpdatePost", noSuchPost, 400)
	case !ok:
		return nil, fail("UpdatePost", noSuchPost, 404)
	case old.DeleteAt != 0:
		return nil, fail("UpdatePost", "api.post.update_post.permissions_details.app_error", 400)
	}
	post := changed(old, func(p *pb.Post) {
		if p.Message != given.GetMessage() {
			p.Message, p.EditAt = given.GetMessage(), time.Now().UnixMilli()
		}
		p.IsPinned, p.Props, p.FileIds = given.GetIsPinned(), given.GetProps(), given.GetFileIds()
	})
	answer, asked := ask(s, "MessageWillBeUpdated", func(h *hooks, ctx context.Context, r *pb.MessageWillBeUpdatedRequest) (*pb.MessageWillBeUpdatedResponse, error) {
		return h.pb.MessageWillBeUpdated(ctx, r)
	}, &pb.MessageWillBeUpdatedRequest{PluginContext: &pb.PluginContext{}, NewPost: hookPost(post), OldPost: hookPost(old)})
	if asked && answer.GetRejectionReason() != "" {
		return nil, rejected("UpdatePost", answer.GetRejectionReason())
	}
	if asked && answer.GetModifiedPost() != nil {
		post = hookPost(answer.GetModifiedPost())
	}
	if err := checkPost(post); err != nil {
		return nil, err
	}
	post = changed(post, func(p *pb.Post) { p.UpdateAt = time.Now().UnixMilli() })
	s.lock.Lock()
	s.posts[old.Id] = post
	s.lock.Unlock()
	s.beside.Go(func() {
		ask(s, "MessageHasBeenUpdated", func(h *hooks, ctx context.Context, r *pb.MessageHasBeenUpdatedRequest) (*pb.MessageHasBeenUpdatedResponse, error) {
			return h.pb.MessageHasBeenUpdated(ctx, r)
		}, &pb.MessageHasBeenUpdatedRequest{PluginContext: &pb.PluginContext{}, NewPost: hookPost(post), OldPost: hookPost(old)})
	})
	return post, nil
}

// show is an ephemeral post: nothing is checked, and no hook hears of it.
func (s *apiState) show(userID string, given *pb.Post) *pb.Post {
	post := changed(given, func(p *pb.Post) {
		p.Type = "system_ephemeral"
		if p.Id == "" {
			p.Id = front.NewID()
		}
		if p.CreateAt == 0 {
			p.CreateAt = time.Now().UnixMilli()
		}
	})
	s.lock.Lock()
	defer s.lock.Unlock()
	s.shown = append(s.shown, ephemeral{userID, protoJSONObject{post}})
	return post
}

// allPosts gives what is not deleted, the oldest first.
func (s *apiState) allPosts() []protoJSONObject {
	s.lock.Lock()
	defer s.lock.Unlock()
	var all []*pb.Post
	for _, post := range s.posts {
		if post.DeleteAt == 0 {
			all = append(all, post)
		}
	}
	slices.SortFunc(all, func(a, b *pb.Post) int {
		if a.CreateAt != b.CreateAt {
			return int(a.CreateAt - b.CreateAt)
		}
		return strings.Compare(a.Id, b.Id)
	})
	shown := make([]protoJSONObject, len(all))
	for i, post := range all {
		shown[i] = protoJSONObject{post}
	}
	return shown
}

// CreatePost follows `post` without a check, as the server does; so do the others below.
func (h apiHandlers) CreatePost(_ context.Context, r *pb.CreatePostRequest) (*pb.CreatePostResponse, error) {
	given := proto.CloneOf(r.Post)
	if given.GetProps().GetFields() == nil {
		given.Props = &structpb.Struct{Fields: map[string]*structpb.Value{}}
	}
	given.Props.Fields["from_plugin"] = structpb.NewStringValue("true")
	post, err := h.createPost(given, &pb.PluginContext{})
	return &pb.CreatePostResponse{Post: post}, err
}

func (h apiHandlers) GetPost(_ context.Context, r *pb.GetPostRequest) (*pb.GetPostResponse, error) {
	post, ok := lookup(h.apiState, h.posts, r.GetPostId())
	if !ok || post.DeleteAt != 0 {
		return nil, fail("GetSinglePost", noSuchPost, 404)
	}
	return &pb.GetPostResponse{Post: post}, nil
}

func (h apiHandlers) UpdatePost(_ context.Context, r *pb.UpdatePostRequest) (*pb.UpdatePostResponse, error) {
	post, err := h.updatePost(r.Post)
	return &pb.UpdatePostResponse{Post: post}, err
}

func (h apiHandlers) DeletePost(_ context.Context, r *pb.DeletePostRequest) (*pb.DeletePostResponse, error) {
	h.lock.Lock()
	defer h.lock.Unlock()
	post := h.posts[r.GetPostId()]
	if post.GetDeleteAt() != 0 || post == nil {
		return nil, fail("DeletePost", noSuchPost, 400)
	}
	h.posts[post.Id] = changed(post, func(p *pb.Post) { p.DeleteAt = time.Now().UnixMilli() })
	return &pb.DeletePostResponse{}, nil
}

func (h apiHandlers) SendEphemeralPost(_ context.Context, r *pb.SendEphemeralPostRequest) (*pb.SendEphemeralPostResponse, error) {
	return &pb.SendEphemeralPostResponse{Post: h.show(r.GetUserId(), r.Post)}, nil
}
