package main

import (
	"context"
	"mime"
	"path"
	"strings"
	"time"

	front "mm_asgi/gofront"
	"mm_asgi/gohost/pb"
)

const noSuchFile = "app.file_info.get.app_error"

type storedFile struct {
	info *pb.FileInfo
	data []byte
}

// upload is app/file.go's: FileWillBeUploaded may change or refuse it, then it is kept.
func (s *apiState) upload(name, channelID, userID string, data []byte) (*pb.FileInfo, error) {
	if _, ok := lookup(s, s.channels, channelID); !ok && channelID != "" {
		return nil, fail("UploadFile", "api.file.upload_file.incorrect_channelId.app_error", 400)
	}
	now := time.Now().UnixMilli()
	info := &pb.FileInfo{
		Id: front.NewID(), CreatorId: userID, ChannelId: channelID, Name: path.Base(name), Size: int64(len(data)),
		Extension: strings.TrimPrefix(path.Ext(name), "."), MimeType: mime.TypeByExtension(path.Ext(name)),
		CreateAt: now, UpdateAt: now,
	}
	answer, asked := ask(s, "FileWillBeUploaded", func(h *hooks, ctx context.Context, r *pb.FileWillBeUploadedRequest) (*pb.FileWillBeUploadedResponse, error) {
		return h.pb.FileWillBeUploaded(ctx, r)
	}, &pb.FileWillBeUploadedRequest{PluginContext: &pb.PluginContext{}, FileInfo: info, FileContent: data})
	if asked && answer.GetRejectionReason() != "" {
		failed := fail("DoUploadFile", "api.file.upload_file.rejected_by_plugin.app_error", 400)
		failed.detail = "Reason=" + answer.GetRejectionReason()
		return nil, failed
	}
	if asked && answer.GetModifiedFileInfo() != nil {
		info = answer.GetModifiedFileInfo()
	}
	if asked && len(answer.GetModifiedContent()) > 0 {
		data = answer.GetModifiedContent()
		info.Size = int64(len(data))
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	s.files[info.Id] = &storedFile{info, data}
	return info, nil
}

func (h apiHandlers) GetFile(_ context.Context, r *pb.GetFileRequest) (*pb.GetFileResponse, error) {
	file, ok := lookup(h.apiState, h.files, r.GetFileId())
	if !ok {
		return nil, fail("GetFile", noSuchFile, 404)
	}
	return &pb.GetFileResponse{Data: file.data}, nil
}

func (h apiHandlers) GetFileInfo(_ context.Context, r *pb.GetFileInfoRequest) (*pb.GetFileInfoResponse, error) {
	file, ok := lookup(h.apiState, h.files, r.GetFileId())
	if !ok {
		return nil, fail("GetFileInfo", noSuchFile, 404)
	}
	return &pb.GetFileInfoResponse{FileInfo: file.info}, nil
}

func (h apiHandlers) UploadFile(_ context.Context, r *pb.UploadFileRequest) (*pb.UploadFileResponse, error) {
	info, err := h.upload(r.GetFilename(), r.GetChannelId(), "nouser", r.GetData())
	return &pb.UploadFileResponse{FileInfo: info}, err
}
