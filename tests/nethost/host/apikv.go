package main

import (
	"bytes"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/mattermost/mattermost/server/public/model"
)

// keyValue is a plugin's key. Gob does not tell an empty value from none: setting it removes the
// key, and an empty old value stands for a key that is not there.
type keyValue struct {
	value    []byte
	expireAt time.Time // zero: never
}

// value gives a key's value, nil when it is not there; the lock is held.
func (s *state) value(key string) []byte {
	found := s.keys[key]
	if !found.expireAt.IsZero() && !time.Now().Before(found.expireAt) {
		return nil
	}
	return found.value
}

// setKey sets it, if it has the old value or `old` is nil; the store's rules are plugin_store.go's.
func (s *state) setKey(key string, value []byte, old *[]byte, seconds int64) (bool, *model.AppError) {
	if length := utf8.RuneCountInString(key); length == 0 || length > 150 {
		return false, model.NewAppError("PluginKeyValue.IsValid", "model.plugin_key_value.is_valid.key.app_error", nil, "key="+key, 400)
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	if old != nil && !bytes.Equal(s.value(key), *old) {
		return false, nil
	}
	if len(value) == 0 {
		there := s.value(key) != nil
		delete(s.keys, key)
		return there || old == nil, nil
	}
	set := keyValue{value: value}
	if seconds > 0 {
		set.expireAt = time.Now().Add(time.Duration(seconds) * time.Second)
	}
	s.keys[key] = set
	return true, nil
}

func (a *serverAPI) KVSet(key string, value []byte) *model.AppError {
	return act(a, "KVSet", []any{key, value}, func() *model.AppError {
		_, failed := a.state.setKey(key, value, nil, 0)
		return failed
	})
}

func (a *serverAPI) KVSetWithOptions(key string, value []byte, options model.PluginKVSetOptions) (bool, *model.AppError) {
	return serve(a, "KVSetWithOptions", []any{key, value, options}, func() (bool, *model.AppError) {
		if failed := options.IsValid(); failed != nil {
			return false, failed
		}
		var old *[]byte
		if options.Atomic {
			old = &options.OldValue
		}
		return a.state.setKey(key, value, old, options.ExpireInSeconds)
	})
}

func (a *serverAPI) KVCompareAndSet(key string, old, value []byte) (bool, *model.AppError) {
	return serve(a, "KVCompareAndSet", []any{key, old, value}, func() (bool, *model.AppError) {
		return a.state.setKey(key, value, &old, 0)
	})
}

func (a *serverAPI) KVCompareAndDelete(key string, old []byte) (bool, *model.AppError) {
	return serve(a, "KVCompareAndDelete", []any{key, old}, func() (bool, *model.AppError) {
		return a.state.setKey(key, nil, &old, 0)
	})
}

func (a *serverAPI) KVGet(key string) ([]byte, *model.AppError) {
	return serve(a, "KVGet", []any{key}, func() ([]byte, *model.AppError) {
		a.state.lock.Lock()
		defer a.state.lock.Unlock()
		return a.state.value(key), nil
	})
}

func (a *serverAPI) KVDelete(key string) *model.AppError {
	return act(a, "KVDelete", []any{key}, func() *model.AppError {
		a.state.lock.Lock()
		defer a.state.lock.Unlock()
		delete(a.state.keys, key)
		return nil
	})
}

func (a *serverAPI) KVList(page, size int) ([]string, *model.AppError) {
	return serve(a, "KVList", []any{page, size}, func() ([]string, *model.AppError) {
		a.state.lock.Lock()
		defer a.state.lock.Unlock()
		var keys []string
		for key := range a.state.keys {
			if a.state.value(key) != nil {
				keys = append(keys, key)
			}
		}
		slices.Sort(keys)
		limit := size
		if limit <= 0 {
			limit = 10 // defaultPluginKeyFetchLimit
		}
		from := min(max(0, page*limit), len(keys))
		return keys[from:min(from+limit, len(keys))], nil
	})
}
