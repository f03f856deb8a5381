package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/reeflective/readline"
)

const help = `Statements end with a semicolon and may span lines. Tab completes keywords and names.

  \d [NAME]     tables, views, sources and sinks, or the columns of NAME
  \i FILE       run the statements of FILE
  \timing       show how long statements take
  \o FORMAT     print rows as table, json or csv
  \?            this text
  \q            leave (so does Ctrl-D)
`

// Interactive reads statements from the terminal until the end of input or \q.
// Ctrl-C ends a statement, never the shell, even if it also ends ctx.
func (s *Shell) Interactive(ctx context.Context, banner string) error {
	ctx = context.WithoutCancel(ctx)
	fmt.Fprintln(s.cfg.Out, banner)
	rl := readline.NewShell()
	// The probe asks the terminal where the cursor is before every key, and loses
	// what was typed before the answer came.
	_ = rl.Config.Set("cursor-position-probe", false)
	// What is pasted is text: a tab in it completes nothing, and it waits for Enter.
	_ = rl.Config.Set("enable-bracketed-paste", true)
	rl.PasteTransformer = func(text string) string { return strings.TrimRight(text, "\n") }
	rl.Prompt.Primary(func() string { return "tidemill=> " })
	rl.Prompt.Secondary(func() string { return "tidemill-> " })
	rl.AcceptMultiline = func(line []rune) bool {
		t := strings.TrimSpace(string(line))
		return strings.HasPrefix(t, `\`) || Complete(t)
	}
	if s.cfg.HistoryFile != "" {
		if h, err := readline.NewHistoryFromFile(s.cfg.HistoryFile); err == nil {
			rl.History.Add("statements", h)
		}
	}
	// The first Tab completes what is common and lists the rest; further ones walk it.
	_ = rl.Config.Set("menu-complete-display-prefix", true)
	words := &completer{shell: s}
	rl.Completer = func(line []rune, cursor int) readline.Completions {
		return readline.CompleteValues(words.complete(ctx, string(line[:cursor]))...)
	}
	for {
		line, err := rl.Readline()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, readline.ErrInterrupt):
			continue
		case err != nil:
			return err
		}
		quit, err := s.line(ctx, strings.TrimSpace(line))
		words.stale = true
		if quit || errors.Is(err, ErrConnect) {
			return err
		}
	}
}

// line runs what was typed: a command or statements. Errors of statements have
// been printed.
func (s *Shell) line(ctx context.Context, line string) (quit bool, err error) {
	if line == "" {
		return false, nil
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt) // Ctrl-C ends the statement
	defer stop()
	if !strings.HasPrefix(line, `\`) {
		return false, s.interruptible(ctx, line)
	}
	cmd, arg, _ := strings.Cut(strings.TrimSuffix(line, ";"), " ")
	arg = strings.TrimSpace(arg)
	switch cmd {
	case `\q`:
		return true, nil
	case `\?`, `\h`:
		fmt.Fprint(s.cfg.Out, help)
	case `\timing`:
		s.timing = !s.timing
		fmt.Fprintf(s.cfg.Out, "Timing is %s.\n", map[bool]string{true: "on", false: "off"}[s.timing])
	case `\i`:
		if err := s.RunFile(ctx, arg); err != nil && !errors.Is(err, ErrStatement) {
			fmt.Fprintln(s.cfg.Err, err)
		}
	case `\o`:
		switch f := Format(arg); f {
		case Table, JSON, CSV:
			s.cfg.Format = f
		default:
			fmt.Fprintf(s.cfg.Err, "no such format: %q (table, json, csv)\n", arg)
		}
	case `\d`:
		if arg == "" {
			return false, s.Run(ctx, relationsQuery)
		}
		return false, s.Run(ctx, "SHOW COLUMNS FROM "+arg)
	default:
		fmt.Fprintf(s.cfg.Err, "no such command: %s (\\? for help)\n", cmd)
	}
	return false, nil
}

// interruptible runs statements; a cancelled context cancels them on the server
// and keeps the connection.
func (s *Shell) interruptible(ctx context.Context, text string) error {
	done := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-ctx.Done():
			bg, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
			defer cancel()
			_ = s.conn.CancelRequest(bg)
		case <-done:
		}
	}()
	err := s.Run(context.WithoutCancel(ctx), text)
	close(done)
	<-watched
	return err
}

const relationsQuery = `SELECT c.relname AS name, CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view'
 WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'f' THEN 'source' ELSE 'other' END AS kind
 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = 'public' AND c.relkind <> 'i' ORDER BY 2, 1`
