package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/internal/security"
)

// defaultCerts is where certificates are unless --dir says otherwise.
const defaultCerts = "tidemill-certs"

func certCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cert",
		Short: "Make, hand out and renew the certificates of a cluster",
		Long: `A cluster has a certificate authority of its own. Its nodes know each other by certificates of that authority, and clients
know the nodes by them. A directory of certificates has ca.crt, node.crt and node.key; ca.key too on the machines
that may let others join, which is needed for nothing else: keep a copy where it is safe.

A running node takes up renewed files by itself.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q", cmd.CommandPath()+" "+args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(certInit(), certIssue(), certToken(), certJoin(), certRenew(), certShow())
	return cmd
}

// certDirFlag adds --dir.
func certDirFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "dir", defaultCerts, "directory of the certificates")
}

// certNodeFlags adds --node and --host.
func certNodeFlags(cmd *cobra.Command, node *string, hosts *[]string) {
	cmd.Flags().StringVar(node, "node", "", "name of the node (required)")
	cmd.Flags().StringSliceVar(hosts, "host", nil, "name or IP address by which clients reach the node; may be given several times")
}

// certNeed refuses a required flag that is empty.
func certNeed(cmd *cobra.Command, name, value string) error {
	if value == "" {
		return usageError{fmt.Errorf("%s: --%s is missing", cmd.CommandPath(), name)}
	}
	return nil
}

func certInit() *cobra.Command {
	var dir, cluster, node string
	var hosts []string
	cmd := &cobra.Command{
		Use:     "init --cluster NAME --node NAME [--host HOST]...",
		Short:   "Make the authority of a new cluster, and the first node's certificate",
		Example: `  tidemill cert init --cluster blue --node a --host a.example.org --host 192.0.2.1`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(certNeed(cmd, "cluster", cluster), certNeed(cmd, "node", node)); err != nil {
				return usageError{err}
			}
			if err := security.CheckName("node", node); err != nil {
				return usageError{err}
			}
			if err := security.CreateCA(dir, cluster); err != nil {
				return err
			}
			if err := security.Issue(dir, node, hosts); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "made the authority of cluster %s and the certificate of node %s in %s\nkeep %s safe: whoever has it can make nodes\n",
				cluster, node, dir, filepath.Join(dir, security.CAKeyFile))
			return nil
		},
	}
	certDirFlag(cmd, &dir)
	cmd.Flags().StringVar(&cluster, "cluster", "", "name of the cluster (required)")
	certNodeFlags(cmd, &node, &hosts)
	return cmd
}

func certIssue() *cobra.Command {
	var dir, out, node string
	var hosts []string
	cmd := &cobra.Command{
		Use:     "issue --node NAME [--host HOST]... [--out DIR]",
		Short:   "Make the certificate of another node, to be copied to its machine",
		Example: `  tidemill cert issue --node b --host b.example.org --out b-certs`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := certNeed(cmd, "node", node); err != nil {
				return err
			}
			if out == "" {
				out = dir
			}
			if err := security.IssueTo(dir, out, node, hosts); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "made the certificate of node %s in %s\n", node, out)
			return nil
		},
	}
	certDirFlag(cmd, &dir)
	cmd.Flags().StringVar(&out, "out", "", "directory to write to; as --dir if not given, where the node's files are replaced")
	certNodeFlags(cmd, &node, &hosts)
	return cmd
}

func certToken() *cobra.Command {
	var dir string
	var ttl time.Duration
	var addrs, routes []string
	cmd := &cobra.Command{
		Use:   "token [--ttl 1h] [--addr HOST:PORT]... [--route HOST:PORT]...",
		Short: "Make a token by which machines can join the cluster",
		Long: `Prints one line. Until it expires, whoever has it can get a node's certificate from a node that has ca.key, so treat it as
a password. It holds no key, and the hash of the authority's certificate, so that who joins knows whom it talks to.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ttl <= 0 || ttl > security.MaxTokenLife {
				return usageError{fmt.Errorf("%s: --ttl %s: want more than 0 and at most %s", cmd.CommandPath(), ttl, security.MaxTokenLife)}
			}
			token, err := security.NewToken(dir, ttl, addrs, routes)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), token)
			return nil
		},
	}
	certDirFlag(cmd, &dir)
	cmd.Flags().DurationVar(&ttl, "ttl", security.DefaultTokenLife, "how long the token is good for")
	cmd.Flags().StringSliceVar(&addrs, "addr", nil, "HTTP address of a node that has ca.key, for those who join without naming one")
	cmd.Flags().StringSliceVar(&routes, "route", nil, "route of a node of the cluster, which those who join are told")
	return cmd
}

func certJoin() *cobra.Command {
	var dir, token, node string
	var hosts []string
	cmd := &cobra.Command{
		Use:     "join [HOST:PORT] --token TOKEN --node NAME [--host HOST]...",
		Short:   "Get a certificate from a node of the cluster by a token",
		Long:    `HOST:PORT is the HTTP address of a node that has ca.key; without it, those in the token are tried.`,
		Example: `  tidemill cert join a.example.org:8433 --token tidemill1.eyJj... --node b --host b.example.org`,
		Args:    atMostOneTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := errors.Join(certNeed(cmd, "token", token), certNeed(cmd, "node", node)); err != nil {
				return usageError{err}
			}
			info, err := security.Join(cmd.Context(), firstArg(args), token, node, hosts, dir)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "node %s has joined cluster %s; its certificate is in %s\n", node, info.Cluster, dir)
			if len(info.Routes) > 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "routes of the cluster: %s\n", strings.Join(info.Routes, ","))
			}
			return nil
		},
	}
	certDirFlag(cmd, &dir)
	cmd.Flags().StringVar(&token, "token", "", "what tidemill cert token printed (required)")
	certNodeFlags(cmd, &node, &hosts)
	return cmd
}

func certRenew() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "renew [HOST:PORT]",
		Short: "Renew the node's certificate for the same names",
		Long: `With ca.key in the directory, it is done there. Otherwise HOST:PORT names the HTTP address of a node that has it, which knows
this one by the certificate that is to be renewed, as long as that has not expired. A running node takes up the new one by itself.`,
		Args: atMostOneTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			switch addr := firstArg(args); {
			case addr != "":
				err = security.RenewFrom(cmd.Context(), addr, dir)
			case security.CanIssue(dir):
				err = security.Renew(dir)
			default:
				err = usageError{fmt.Errorf("%s: there is no %s: name the HTTP address of a node that has it", cmd.CommandPath(), filepath.Join(dir, security.CAKeyFile))}
			}
			if err != nil {
				return err
			}
			c, err := security.Open(dir)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "the certificate of node %s is good until %s\n", c.Node(), certDay(c.Expires()))
			return nil
		},
	}
	certDirFlag(cmd, &dir)
	return cmd
}

func certShow() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show the certificates of a directory, and check them",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			shown, err := security.Show(dir)
			if err != nil {
				return err
			}
			printCerts(cmd.OutOrStdout(), shown)
			if _, err := security.Open(dir); err != nil && len(shown) > 1 {
				return err
			}
			return nil
		},
	}
	certDirFlag(cmd, &dir)
	return cmd
}

// printCerts prints a line for each certificate.
func printCerts(out io.Writer, shown []security.Shown) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, s := range shown {
		what, more := "cluster "+s.Subject, "sha256 "+s.SHA256
		if s.Node {
			what, more = "node "+s.Subject, "for "+strings.Join(s.Hosts, ", ")
		}
		fmt.Fprintf(w, "%s\t%s\tuntil %s\t%s\n", s.File, what, certDay(s.Until), more)
	}
	_ = w.Flush()
}

func certDay(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// firstArg is the first argument, if there is one.
func firstArg(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}
