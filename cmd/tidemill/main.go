// Command tidemill is the whole of Tidemill in one binary: a node, the SQL shell
// and the demo.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // time zones wherever it runs

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/internal/shell"
)

// Exit codes.
const (
	exitOK        = 0
	exitStatement = 1 // a statement failed, or anything else went wrong
	exitUsage     = 2 // the command line or the configuration is not right
	exitConnect   = 3 // no connection to the node
)

// usageError marks a mistake in the command line or the configuration.
type usageError struct{ error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := root().ExecuteContext(ctx)
	stop()
	os.Exit(exitCode(err))
}

// exitCode reports err on standard error, unless that was done, and maps it.
func exitCode(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, shell.ErrStatement):
		return exitStatement
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "tidemill: %v\nRun tidemill --help for usage.\n", err)
		return exitUsage
	}
	fmt.Fprintf(os.Stderr, "tidemill: %v\n", err)
	if errors.Is(err, shell.ErrConnect) {
		return exitConnect
	}
	return exitStatement
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tidemill",
		Short: "Events in, SQL views kept right, psql out",
		Long: `Tidemill keeps the answers to SQL questions correct and up to date while the data changes.

Every flag can also be given as TIDEMILL_NAME in the environment (dashes become underscores) or as a key of
the YAML file that --config names; flags come first, then the environment, then the file.

Exit codes: 0 success, 1 a statement or anything else failed, 2 wrong usage or configuration, 3 no connection.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q", args[0])}
			}
			return nil
		},
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	cmd.PersistentFlags().String("config", "", "YAML file with settings, named as the flags are")
	cmd.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := configure(cmd.Flags()); err != nil {
			return usageError{err}
		}
		return nil
	}
	cmd.AddCommand(devCommand(), startCommand(), statusCommand(), drainCommand(), nodeCommand(), clusterCommand(), chaosCommand(), sqlCommand(), demoCommand(), benchCommand(), backupCommand(), restoreCommand(), verifyCommand(), certCommand(), versionCommand())
	return cmd
}

// noArgs refuses arguments that a command does not take.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%s takes no argument %q", cmd.CommandPath(), args[0])}
	}
	return nil
}
