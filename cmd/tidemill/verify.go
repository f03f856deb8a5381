package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/internal/backup"
)

func verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check everything that a data directory keeps",
		Long: `Reads all logs, streams of sources and checkpoints of a data directory that no node is using, and checks every
checksum, that positions run on without holes, and the chain of hashes. Prints a line for each; of what is damaged, the
first thing that is wrong. The exit code is 1 if anything is.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := cmd.Flags().GetString("data")
			if err != nil {
				return err
			}
			if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
				return usageError{fmt.Errorf("verify: there is no directory %q", dir)}
			}
			return backup.Verify(cmd.Context(), dir, func(c backup.Checked) { printChecked(cmd.OutOrStdout(), c) })
		},
	}
	cmd.Flags().String("data", "tidemill-data", "directory to check")
	return cmd
}

// printChecked prints one line for what was checked.
func printChecked(out io.Writer, c backup.Checked) {
	span := fmt.Sprintf("records %d to %d", c.First, c.Last)
	if c.What == "checkpoint" {
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
