package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/mattermost/mattermost/server/public/model"
	"github.com/mattermost/mattermost/server/public/plugin"

	front "mm_asgi/gofront"
)

const noSuchFile = "app.file_info.get.app_error"

type storedFile struct {
	info *model.FileInfo
	data []byte
}

// upload is app/file.go's: FileWillBeUploaded may change or refuse it, then it is kept.
func (s *state) upload(name, channelID, userID string, data []byte) (*model.FileInfo, *model.AppError) {
	if _, ok := lookup(s, s.channels, channelID); !ok && channelID != "" {
		return nil, fail("UploadFile", "api.file.upload_file.incorrect_channelId.app_error", 400)
	}
	now := time.Now().UnixMilli()
	info := &model.FileInfo{
		Id: front.NewID(), CreatorId: userID, ChannelId: channelID, Name: path.Base(name), Size: int64(len(data)),
		Extension: strings.TrimPrefix(path.Ext(name), "."), MimeType: mime.TypeByExtension(path.Ext(name)),
		CreateAt: now, UpdateAt: now,
	}
	reason := ""
	s.each(plugin.FileWillBeUploadedID, func(hooks plugin.Hooks) bool {
		var replaced bytes.Buffer
		changed, rejection := hooks.FileWillBeUploaded(&plugin.Context{}, info, bytes.NewReader(data), &replaced)
		if reason = rejection; reason != "" {
			return false
		}
		if changed != nil {
			info = changed
		}
		if replaced.Len() > 0 {
			data = replaced.Bytes()
			info.Size = int64(len(data))
		}
		return true
	})
	if reason != "" {
		return nil, model.NewAppError("DoUploadFile", "api.file.upload_file.rejected_by_plugin.app_error", nil, "Reason="+reason, 400)
	}
	s.store(info, data)
	return info, nil
}

func (s *state) store(info *model.FileInfo, data []byte) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.files[info.Id] = &storedFile{info, data}
}

func (a *serverAPI) GetFile(fileID string) ([]byte, *model.AppError) {
	return serve(a, "GetFile", []any{fileID}, func() ([]byte, *model.AppError) {
		file, ok := lookup(a.state, a.state.files, fileID)
		if !ok {
			return nil, fail("GetFile", noSuchFile, 404)
		}
		return file.data, nil
	})
}

func (a *serverAPI) GetFileInfo(fileID string) (*model.FileInfo, *model.AppError) {
	return serve(a, "GetFileInfo", []any{fileID}, func() (*model.FileInfo, *model.AppError) {
		file, ok := lookup(a.state, a.state.files, fileID)
		if !ok {
			return nil, fail("GetFileInfo", noSuchFile, 404)
		}
		return file.info, nil
	})
}

func (a *serverAPI) UploadFile(data []byte, channelID, name string) (*model.FileInfo, *model.AppError) {
	return serve(a, "UploadFile", []any{data, channelID, name}, func() (*model.FileInfo, *model.AppError) {
		return a.state.upload(name, channelID, "nouser", data)
	})
}

// What follows has a stream beside its call; tests/gohost serves none of it.

// UploadData keeps what the stream brings under the session's name.
func (a *serverAPI) UploadData(session *model.UploadSession, stream io.Reader) (info *model.FileInfo, err error) {
	err = a.around("UploadData", []any{session}, func() error {
		data, err := io.ReadAll(stream)
		if err != nil {
			return err
		}
		info = &model.FileInfo{Id: front.NewID(), Name: session.Filename, ChannelId: session.ChannelId, Size: int64(len(data))}
		a.state.store(info, data)
		return nil
	})
	return info, err
}

// InstallPlugin reads the bundle and installs nothing: the manifest names its hash.
func (a *serverAPI) InstallPlugin(bundle io.Reader, replace bool) (*model.Manifest, *model.AppError) {
	return serve(a, "InstallPlugin", []any{replace}, func() (*model.Manifest, *model.AppError) {
		hash := sha256.New()
		if _, err := io.Copy(hash, bundle); err != nil {
			return nil, fail("InstallPlugin", "app.plugin.write_file.read.app_error", 500)
		}
		return &model.Manifest{Id: "com.example.installed", Version: "1.0.0", Name: hex.EncodeToString(hash.Sum(nil))}, nil
	})
}

// PluginHTTP answers as another plugin that echoes: method, path, query and header in the header,
// the body in the body.
func (a *serverAPI) PluginHTTP(request *http.Request) *http.Response {
	return tell(a, "PluginHTTP", []any{request.Method, request.URL.String()}, func() *http.Response {
		header := request.Header.Clone()
		if header == nil {
			header = http.Header{}
		}
		header.Set("X-Method", request.Method)
		header.Set("X-URL", request.URL.String())
		var body io.ReadCloser = http.NoBody
		if request.Body != nil {
			body = request.Body
		}
		return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header, Body: body}
	})
}
