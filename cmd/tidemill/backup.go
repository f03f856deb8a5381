package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/internal/backup"
	"github.com/tidemill/tidemill/internal/backup/s3"
	"github.com/tidemill/tidemill/internal/shell"
)

// maxErrorBytes bounds what is read of an answer that says no.
const maxErrorBytes = 64 << 10

const targetHelp = `TARGET is a directory, or s3://BUCKET/PREFIX for an object store, which is found as AWS's programs find it: AWS_ENDPOINT_URL,
AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, the credentials file, or the machine's role.`

func backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup TARGET",
		Short: "Copy a running node's data, as of one step",
		Long: `Has a running node make a checkpoint, and copies that and what of the logs belongs to it. The node goes on with its work. Done
again with the same target, only what is new is sent; the backup that was there stays whole until the new one is complete.

` + targetHelp,
		Args: oneTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := openTarget(args[0])
			if err != nil {
				return usageError{err}
			}
			addr, err := cmd.Flags().GetString("http")
			if err != nil {
				return err
			}
			x, sent, err := makeBackup(cmd.Context(), addr, to)
			if err != nil {
				return fmt.Errorf("backup: %w", err)
			}
			total := int64(0)
			for _, f := range x.Files {
				total += f.Bytes
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s at step %d: %d files, %d bytes; %d bytes were sent\n", x.Pipeline, x.Step, len(x.Files), total, sent)
			return nil
		},
	}
	cmd.Flags().String("http", "127.0.0.1:8433", "HTTP address of the node")
	return cmd
}

// oneTarget wants the argument TARGET.
func oneTarget(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usageError{fmt.Errorf("%s: TARGET is missing", cmd.CommandPath())}
	}
	return atMostOneTarget(cmd, args)
}

func atMostOneTarget(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return noArgs(cmd, args[1:])
	}
	return nil
}

// openTarget opens what a target's name means.
func openTarget(name string) (backup.Target, error) {
	if strings.HasPrefix(name, "s3://") {
		return s3.Open(name)
	}
	if strings.Contains(name, "://") {
		return nil, fmt.Errorf("target %q: want a directory or s3://BUCKET/PREFIX", name)
	}
	return backup.Dir(name), nil
}

// makeBackup asks the node for a backup without what is there already, and keeps it.
func makeBackup(ctx context.Context, addr string, to backup.Target) (*backup.Index, int64, error) {
	have, err := to.List(ctx, backup.CheckpointPrefix)
	if err != nil {
		return nil, 0, err
	}
	body, err := json.Marshal(struct {
		Have map[string]int64 `json:"have"`
	}{have})
	if err != nil {
		return nil, 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/v1/backup", bytes.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", shell.ErrConnect, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, maxErrorBytes))
		return nil, 0, fmt.Errorf("the node says %s: %s", res.Status, bytes.TrimSpace(text))
	}
	sent := &counter{r: res.Body}
	x, err := backup.Receive(ctx, sent, to)
	return x, sent.n, err
}

// counter counts what is read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func restoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore TARGET",
		Short: "Make a data directory of a backup",
		Long: `Makes a new data directory of a backup. Everything is checked on the way; if anything is wrong, nothing is left behind. Start a
node on the directory afterwards.

` + targetHelp,
		Args: oneTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			from, err := openTarget(args[0])
			if err != nil {
				return usageError{err}
			}
			dir, err := cmd.Flags().GetString("data")
			if err != nil {
				return err
			}
			x, err := backup.Restore(cmd.Context(), from, dir, func(what string) { fmt.Fprintln(cmd.ErrOrStderr(), what) })
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is %s at step %d\n", dir, x.Pipeline, x.Step)
			return nil
		},
	}
	cmd.Flags().String("data", "tidemill-data", "directory to make; new or empty")
	return cmd
}

func verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify [TARGET]",
		Short: "Check everything that a data directory or a backup keeps",
		Long: `Reads all logs, streams of sources and checkpoints of a data directory that no node is using (--data), or all of a backup, and
checks every checksum, that positions run on without holes, and the chain of hashes. Prints a line for each; of what is
damaged, the first thing that is wrong. The exit code is 1 if anything is.

` + targetHelp,
		Args: atMostOneTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			tell := func(c backup.Checked) { printChecked(cmd.OutOrStdout(), c) }
			dir, err := cmd.Flags().GetString("data")
			if err != nil {
				return err
			}
			if len(args) == 1 {
				if dir = args[0]; !isDataDir(dir) {
					from, err := openTarget(dir)
					if err != nil {
						return usageError{err}
					}
					return backup.VerifyBackup(cmd.Context(), from, tell)
				}
			}
			if info, err := os.Stat(dir); err != nil || !info.IsDir() {
				return usageError{fmt.Errorf("verify: there is no directory %q", dir)}
			}
			return backup.Verify(cmd.Context(), dir, tell)
		},
	}
	cmd.Flags().String("data", "tidemill-data", "directory to check")
	return cmd
}

// isDataDir tells a data directory from a backup.
func isDataDir(name string) bool {
	if strings.Contains(name, "://") {
		return false
	}
	_, err := os.Stat(filepath.Join(name, backup.IndexName))
	if err == nil {
		return false
	}
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// printChecked prints one line for what was checked.
func printChecked(out io.Writer, c backup.Checked) {
	span := fmt.Sprintf("records %d to %d", c.First, c.Last)
	if c.What == "checkpoint" || c.What == "file" {
		span = fmt.Sprintf("step %d", c.First)
	} else if c.Last < c.First || c.Last == 0 {
		span = "empty"
	}
	verdict := "ok"
	if c.Err != nil {
		verdict = "DAMAGED: " + c.Err.Error()
	}
	if c.Note != "" {
		span += ", " + c.Note
	}
	fmt.Fprintf(out, "%-10s %-20s %s, %d bytes: %s\n", c.What, c.Name, span, c.Bytes, verdict)
}
