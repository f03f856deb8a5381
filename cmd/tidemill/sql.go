package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/tidemill/tidemill/internal/shell"
)

func sqlCommand() *cobra.Command {
	var command, file, output, addr, dbURL, user, database string
	cmd := &cobra.Command{
		Use:   "sql [-c STATEMENTS | -f FILE]",
		Short: "Run SQL: statements, a file, or interactively",
		Long: `Run SQL on a node over the PostgreSQL protocol.

With -c or -f the statements run and the first error ends them with exit code 1. Without either, a terminal gets
the interactive shell (\? for help); otherwise statements are read from standard input.`,
		Example: `  tidemill sql -c 'SELECT 1'
  tidemill sql -f schema.sql
  tidemill sql -o json -c 'SHOW SOURCES'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if command != "" && file != "" {
				return usageError{errors.New("-c and -f cannot both be given")}
			}
			if output == "text" {
				output = string(shell.Table)
			}
			format := shell.Format(output)
			if format != shell.Table && format != shell.JSON && format != shell.CSV {
				return usageError{fmt.Errorf("-o %q: the formats are table, json and csv", output)}
			}
			if dbURL == "" {
				dbURL = (&url.URL{Scheme: "postgres", User: url.User(user), Host: addr, Path: database, RawQuery: "sslmode=disable"}).String()
			}
			cfg := shell.Config{URL: dbURL, Format: format, Out: cmd.OutOrStdout(), Err: cmd.ErrOrStderr(), HistoryFile: historyFile()}
			return runSQL(cmd.Context(), cfg, command, file)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&command, "command", "c", "", "statements to run")
	f.StringVarP(&file, "file", "f", "", "file with statements to run, - for standard input")
	f.StringVarP(&output, "output", "o", "table", "how rows are printed: table, json or csv")
	f.StringVar(&addr, "pg", defaultPG, "address of the node's SQL port")
	f.StringVar(&dbURL, "url", "", "connection URL (postgres://user@host:port/database), instead of --pg, --user and --database")
	f.StringVarP(&user, "user", "U", "tidemill", "user")
	f.StringVarP(&database, "database", "d", "tidemill", "database")
	return cmd
}

func runSQL(ctx context.Context, cfg shell.Config, command, file string) error {
	s, err := shell.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer s.Close()
	switch {
	case command != "":
		return s.Run(ctx, command)
	case file != "":
		return s.RunFile(ctx, file)
	case !term.IsTerminal(int(os.Stdin.Fd())):
		return s.RunFile(ctx, "-")
	}
	defer endOnSIGTERM()()
	return s.Interactive(ctx, versionLine()+"\nType \\? for help, \\q to leave.")
}

// endOnSIGTERM makes SIGTERM leave the terminal as it was and end the process:
// the shell waits for keys and cannot be told otherwise. The function returned ends
// the watch.
func endOnSIGTERM() (stop func()) {
	ask := make(chan os.Signal, 1)
	signal.Notify(ask, syscall.SIGTERM)
	fd := int(os.Stdin.Fd())
	before, err := term.GetState(fd)
	done := make(chan struct{})
	go func() {
		select {
		case <-ask:
			if err == nil {
				_ = term.Restore(fd, before)
			}
			os.Exit(exitStatement)
		case <-done:
		}
	}()
	return func() { signal.Stop(ask); close(done) }
}

// historyFile is where the interactive shell keeps its lines; empty if the user has
// no directory for such files.
func historyFile() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	dir = filepath.Join(dir, "tidemill")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return ""
	}
	return filepath.Join(dir, "sql_history")
}
