package main

import (
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/mattermost/mattermost/server/public/model"
	"github.com/mattermost/mattermost/server/public/plugin"
)

func upside(c *plugin.Context, info *model.FileInfo, from io.Reader, to io.Writer) (*model.FileInfo, *model.AppError) {
	data, _ := io.ReadAll(from)
	_, _ = to.Write(append([]byte(c.UserAgent+" "+info.Name+" "), data...))
	return info, nil
}

func hookCallOf(t *testing.T, arguments string) (*hookCall, error) {
	t.Helper()
	var given []json.RawMessage
	if err := json.Unmarshal([]byte(arguments), &given); err != nil {
		t.Fatal(err)
	}
	call := &hookCall{name: "Upside", method: reflect.ValueOf(upside)}
	return call, call.read(given)
}

func TestArgumentsComeFromJSON(t *testing.T) {
	call, err := hookCallOf(t, `[{"UserAgent": "me"}, {"name": "a.txt"}, "AQI="]`)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a reader starts anew
		call.written.Reset()
		if results := call.run(); errorOf(results) != nil || call.written.String() != "me a.txt \x01\x02" {
			t.Errorf("%q", call.written)
		}
	}
}

func TestNoBodyIsZeroValues(t *testing.T) {
	call := &hookCall{name: "Upside", method: reflect.ValueOf(upside)}
	if err := call.read(nil); err != nil {
		t.Fatal(err)
	}
	if results := call.run(); results[0].IsNil() || call.written.String() != "  " {
		t.Errorf("%q", call.written)
	}
}

func TestWrongArgumentsAreTold(t *testing.T) {
	for arguments, say := range map[string]string{
		`[{}, {}]`:                "wants more arguments",
		`[{}, {}, "", 1]`:         "1 arguments less",
		`[{}, {"size": "x"}, ""]`: "argument 2",
		`[{}, {"nope": 1}, ""]`:   "unknown field",
	} {
		if _, err := hookCallOf(t, arguments); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%s: %v", arguments, err)
		}
	}
}
