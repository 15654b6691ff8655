package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/mattermost/mattermost/server/public/model"
)

func put(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func TestABundleIsUnpackedAsTheServerDoes(t *testing.T) {
	source, plugins := t.TempDir(), t.TempDir()
	put(t, filepath.Join(source, "plugin.json"), `{"id": "com.example.own"}`, 0o600)
	put(t, filepath.Join(source, "lib", "run"), "#!/bin/sh\n", 0o755)
	put(t, filepath.Join(source, "data"), "x", 0o640)
	if err := os.Symlink("data", filepath.Join(source, "link")); err != nil {
		t.Fatal(err)
	}
	one := bundle{source: source, id: "other"}
	if err := one.install(plugins); err != nil {
		t.Fatal(err)
	}
	if one.id != "com.example.own" || one.folder != filepath.Join(plugins, "com.example.own") {
		t.Errorf("%+v", one)
	}
	for name, mode := range map[string]os.FileMode{"lib": os.ModeDir | 0o744, "lib/run": 0o755, "data": 0o640, "plugin.json": 0o600} {
		if info, err := os.Lstat(filepath.Join(one.folder, name)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if _, err := os.Lstat(filepath.Join(one.folder, "link")); !os.IsNotExist(err) {
		t.Error("a symbolic link was unpacked")
	}
}

func TestAStartFileIsLaunchedWhereItLies(t *testing.T) {
	source, plugins := filepath.Join(t.TempDir(), "it's here"), t.TempDir()
	put(t, filepath.Join(source, "run.sh"), "echo \"$0\"\n", 0o644)
	put(t, filepath.Join(source, "public", "a.txt"), "a", 0o644)
	one := bundle{source: source, id: "com.example.bare", executable: "run.sh", python: "/bin/sh"}
	if err := one.install(plugins); err != nil {
		t.Fatal(err)
	}
	manifest, _, err := model.FindManifest(one.folder)
	if err != nil || manifest.Id != one.id {
		t.Fatal(manifest, err)
	}
	said, err := exec.Command(filepath.Join(one.folder, "start")).Output()
	if err != nil || string(said) != filepath.Join(source, "run.sh")+"\n" {
		t.Errorf("%q, %v", said, err)
	}
	if _, err := os.Stat(filepath.Join(one.folder, "public", "a.txt")); err != nil {
		t.Error(err)
	}
	missing := bundle{source: source, id: "x", executable: "nope.py"}
	if err := missing.install(plugins); err == nil {
		t.Error("a start file that is not there was installed")
	}
}
