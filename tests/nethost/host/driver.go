package main

import (
	"database/sql/driver"
	"errors"

	"github.com/mattermost/mattermost/server/public/plugin"
)

// noDatabase is the server's database for plugins: the connection is offered, as on a server, and
// every call of it fails.
type noDatabase struct{}

var _ plugin.AppDriver = noDatabase{}

var errNoDatabase = errors.New("this host has no database")

func (noDatabase) Conn(bool) (string, error)                         { return "", errNoDatabase }
func (noDatabase) ConnWithPluginID(bool, string) (string, error)     { return "", errNoDatabase }
func (noDatabase) ShutdownConns(string)                              {}
func (noDatabase) ConnPing(string) error                             { return errNoDatabase }
func (noDatabase) ConnClose(string) error                            { return errNoDatabase }
func (noDatabase) Tx(string, driver.TxOptions) (string, error)       { return "", errNoDatabase }
func (noDatabase) TxCommit(string) error                             { return errNoDatabase }
func (noDatabase) TxRollback(string) error                           { return errNoDatabase }
func (noDatabase) Stmt(string, string) (string, error)               { return "", errNoDatabase }
func (noDatabase) StmtClose(string) error                            { return errNoDatabase }
func (noDatabase) StmtNumInput(string) int                           { return 0 }
func (noDatabase) RowsColumns(string) []string                       { return nil }
func (noDatabase) RowsClose(string) error                            { return errNoDatabase }
func (noDatabase) RowsNext(string, []driver.Value) error             { return errNoDatabase }
func (noDatabase) RowsHasNextResultSet(string) bool                  { return false }
func (noDatabase) RowsNextResultSet(string) error                    { return errNoDatabase }
func (noDatabase) RowsColumnTypeDatabaseTypeName(string, int) string { return "" }

func (noDatabase) ConnQuery(string, string, []driver.NamedValue) (string, error) {
	return "", errNoDatabase
}

func (noDatabase) ConnExec(string, string, []driver.NamedValue) (plugin.ResultContainer, error) {
	return plugin.ResultContainer{}, errNoDatabase
}

func (noDatabase) StmtQuery(string, []driver.NamedValue) (string, error) { return "", errNoDatabase }

func (noDatabase) StmtExec(string, []driver.NamedValue) (plugin.ResultContainer, error) {
	return plugin.ResultContainer{}, errNoDatabase
}

func (noDatabase) RowsColumnTypePrecisionScale(string, int) (int64, int64, bool) { return 0, 0, false }
