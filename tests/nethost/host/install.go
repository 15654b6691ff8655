package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/mattermost/mattermost/server/public/model"
)

// bundle is the plugin as a test hands it over, and where the server finds it afterwards.
type bundle struct {
	source             string // a test's folder
	executable, python string // a start file in it, when it has no manifest
	id                 string
	folder             string // below the server's folder of plugins
}

// install puts the plugin into the server's folder of plugins. A folder with a manifest arrives as
// the server unpacks a bundle; for a bare start file a manifest and a launcher are written, and the
// file itself stays where it is.
func (b *bundle) install(plugins string) error {
	if b.executable != "" {
		return b.launch(plugins)
	}
	manifest, _, err := model.FindManifest(b.source)
	if err != nil {
		return fmt.Errorf("%s has no plugin.json that can be read (%w); give -executable for a bare start file", b.source, err)
	}
	b.id = manifest.Id
	b.folder = filepath.Join(plugins, b.id)
	return unpack(b.source, b.folder)
}

// unpack copies as the server unpacks a bundle: files keep their mode, folders are 0744, and
// symbolic links are left out.
func unpack(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, below)
		switch {
		case entry.IsDir():
			return os.MkdirAll(target, 0o744)
		case !entry.Type().IsRegular():
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(target, data, info.Mode().Perm()); err != nil {
			return err
		}
		return os.Chmod(target, info.Mode().Perm()) // past the umask
	})
}

// launch writes a manifest whose executable runs the start file in place: the server passes no
// arguments and starts a program of the plugin's folder alone.
func (b *bundle) launch(plugins string) error {
	b.folder = filepath.Join(plugins, b.id)
	if err := os.MkdirAll(b.folder, 0o744); err != nil {
		return err
	}
	start := filepath.Join(b.source, b.executable)
	if _, err := os.Stat(start); err != nil {
		return errors.New("Python plugin script not found: " + start)
	}
	words := []string{quoted(start)}
	if b.python != "" {
		words = []string{quoted(b.python), quoted(start)}
	}
	script := "#!/bin/sh\nexec " + strings.Join(words, " ") + "\n"
	if err := os.WriteFile(filepath.Join(b.folder, "start"), []byte(script), 0o755); err != nil {
		return err
	}
	// Served by the host from the plugin's own folder, so it has to be there.
	public := filepath.Join(b.source, "public")
	if _, err := os.Stat(public); err == nil {
		if err := unpack(public, filepath.Join(b.folder, "public")); err != nil {
			return err
		}
	}
	text, err := json.Marshal(object{
		"id": b.id, "name": b.id, "version": "1.0.0",
		"server": object{"executables": object{runtime.GOOS + "-" + runtime.GOARCH: "start"}},
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.folder, "plugin.json"), text, 0o644)
}

// quoted is one word of a shell's line.
func quoted(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }
