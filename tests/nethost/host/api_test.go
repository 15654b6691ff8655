package main

import (
	"io"
	"reflect"
	"testing"

	"github.com/mattermost/mattermost/server/public/model"
	"github.com/mattermost/mattermost/server/public/plugin"

	front "mm_asgi/gofront"
)

func newTestAPI(t *testing.T) *serverAPI {
	t.Helper()
	environment, err := plugin.NewEnvironment(nil, nil, t.TempDir(), t.TempDir(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return newServerAPI(newState("demo", front.NewLog(io.Discard), func() *plugin.Environment { return environment }))
}

// A call that nobody serves must not end the host, which has no recover there.
func TestEveryCallIsAnsweredAndKept(t *testing.T) {
	a := newTestAPI(t)
	face := reflect.TypeFor[plugin.API]()
	refused := 0
	for at := range face.NumMethod() {
		method := face.Method(at)
		if served[method.Name] || method.Type.IsVariadic() {
			continue
		}
		refused++
		before := len(a.calls)
		var arguments []reflect.Value
		for in := range method.Type.NumIn() {
			arguments = append(arguments, reflect.Zero(method.Type.In(in)))
		}
		results := reflect.ValueOf(a).MethodByName(method.Name).Call(arguments)
		if len(a.calls) != before+1 || a.calls[before].Call != method.Name || a.calls[before].Code != "Unimplemented" {
			t.Errorf("%s: %+v", method.Name, a.calls[before:])
		}
		if count := len(results); count > 0 && results[count-1].Type() == reflect.TypeFor[*model.AppError]() {
			if failed := results[count-1].Interface().(*model.AppError); failed == nil || failed.StatusCode != 501 {
				t.Errorf("%s: %v", method.Name, failed)
			}
		} else if count > 0 && results[count-1].Type() == reflect.TypeFor[error]() && results[count-1].IsNil() {
			t.Errorf("%s: no error", method.Name)
		}
	}
	if refused < 150 {
		t.Errorf("only %d calls are refused", refused)
	}
}

// served are the calls that serverAPI has a method of its own for; the Log calls are variadic.
var served = map[string]bool{
	"GetUser": true, "GetUserByUsername": true, "GetUserByEmail": true, "GetTeam": true, "GetTeamByName": true,
	"GetChannel": true, "GetChannelByName": true, "HasPermissionTo": true, "HasPermissionToTeam": true,
	"HasPermissionToChannel": true, "CreatePost": true, "GetPost": true, "UpdatePost": true, "DeletePost": true,
	"SendEphemeralPost": true, "KVSet": true, "KVSetWithOptions": true, "KVCompareAndSet": true,
	"KVCompareAndDelete": true, "KVGet": true, "KVDelete": true, "KVList": true, "RegisterCommand": true,
	"UnregisterCommand": true, "PublishWebSocketEvent": true, "GetConfig": true, "LoadPluginConfiguration": true,
	"GetServerVersion": true, "GetFile": true, "GetFileInfo": true, "UploadFile": true,
	"UploadData": true, "InstallPlugin": true, "PluginHTTP": true,
}

func TestKeysAsTheServerKeepsThem(t *testing.T) {
	a := newTestAPI(t)
	if failed := a.KVSet("k", []byte("1")); failed != nil {
		t.Fatal(failed)
	}
	if done, failed := a.KVCompareAndSet("k", []byte("2"), []byte("3")); done || failed != nil {
		t.Error(done, failed)
	}
	if done, failed := a.KVCompareAndSet("k", []byte("1"), []byte("3")); !done || failed != nil {
		t.Error(done, failed)
	}
	if value, failed := a.KVGet("k"); string(value) != "3" || failed != nil {
		t.Errorf("%q, %v", value, failed)
	}
	if keys, failed := a.KVList(0, 10); len(keys) != 1 || failed != nil {
		t.Error(keys, failed)
	}
	if failed := a.KVSet("", nil); failed == nil || failed.StatusCode != 400 {
		t.Error(failed)
	}
}

func TestFaultsAndHolds(t *testing.T) {
	a := newTestAPI(t)
	a.faults = []*apiFault{{Call: "GetUser", Times: 1, AppError: &apiFaultError{ID: "app.x", Status: 403}}}
	if user, failed := a.GetUser("alice"); user != nil || failed == nil || failed.Id != "app.x" || failed.StatusCode != 403 {
		t.Error(user, failed)
	}
	if user, failed := a.GetUser("alice"); failed != nil || user.Username != "alice" {
		t.Error(user, failed)
	}
	a.faults = []*apiFault{{Call: "GetTeamByName", Hold: true}}
	answered := make(chan *model.Team)
	go func() {
		team, _ := a.GetTeamByName("demo")
		answered <- team
	}()
	if err := a.await(t.Context(), func() bool { return a.held == 1 }); err != nil {
		t.Fatal(err)
	}
	select {
	case <-answered:
		t.Fatal("the call was not held")
	default:
	}
	a.letGo()
	if team := <-answered; team == nil || team.Name != "demo" {
		t.Error(team)
	}
	if last := a.calls[len(a.calls)-1]; last.Call != "GetTeamByName" || last.Code != "OK" || string(last.Arguments) != `["demo"]` {
		t.Errorf("%+v", last)
	}
}
