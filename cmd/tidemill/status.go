package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/internal/node"
	"github.com/tidemill/tidemill/internal/shell"
)

// adminTimeout bounds one request of a command to a node.
const adminTimeout = 15 * time.Second

func statusCommand() *cobra.Command {
	var url, output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Tell how a cluster does",
		Long: `Ask a node how its cluster does: which nodes are there, who leads, how far the others are, and what is wrong.

Exit codes: 0 all is well, 1 something is wrong, 3 the node is not reached.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var st node.ClusterStatus
			if err := adminCall(cmd.Context(), http.MethodGet, url+"/v1/cluster", nil, &st); err != nil {
				return err
			}
			if output == "json" {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				if err := enc.Encode(st); err != nil {
					return err
				}
			} else if err := printStatus(cmd.OutOrStdout(), st, time.Now()); err != nil {
				return err
			}
			if len(st.Problems) > 0 {
				return shell.ErrStatement
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&url, "url", "http://"+defaultHTTP, "HTTP address of any node")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return cmd
}

// printStatus writes a table of the nodes and what is wrong.
func printStatus(out io.Writer, st node.ClusterStatus, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if st.Cluster != "" {
		fmt.Fprintf(w, "cluster %s, as node %s sees it\n\n", st.Cluster, st.Node)
	}
	fmt.Fprintln(w, "NODE\tSTATE\tVERSION\tSQL\tPIPELINE\tROLE\tEPOCH\tSTEP\tBEHIND\tDISK FREE")
	for _, x := range st.Nodes {
		state := "online"
		switch {
		case !x.Online:
			state = "away"
		case x.Draining:
			state = "drained"
		}
		if len(x.Pipelines) == 0 {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t-\t-\t-\t-\t-\t%s\n", x.Name, state, orDash(x.Version), orDash(x.PG), megabytes(x.DiskFree))
		}
		for _, p := range x.Pipelines {
			behind := "-"
			if p.LagMillis >= 0 && x.Online {
				behind = (time.Duration(p.LagMillis)*time.Millisecond + now.Sub(x.Seen)).Round(100 * time.Millisecond).String()
			}
			if p.Role == "leader" {
				behind = "-"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n", x.Name, state, x.Version, x.PG, p.Name, p.Role, p.Epoch, p.Step, behind, megabytes(x.DiskFree))
		}
	}
	if len(st.Problems) > 0 {
		fmt.Fprintln(w)
	}
	for _, p := range st.Problems {
		fmt.Fprintf(w, "! %s\n", p)
	}
	return w.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func megabytes(n int64) string {
	if n <= 0 {
		return "-"
	}
	return fmt.Sprintf("%d MB", n>>20)
}

func drainCommand() *cobra.Command {
	var url string
	var undo bool
	cmd := &cobra.Command{
		Use:   "drain NODE",
		Short: "Let a node hand over what it leads",
		Long: `Let a node hand over what it leads and lead nothing more, so that it can be stopped without a pause. It goes on answering
reads. With --undo it takes part again; so it does after a restart.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("%s takes one argument, the name of a node", cmd.CommandPath())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := json.Marshal(map[string]any{"node": args[0], "undo": undo})
			if err != nil {
				return err
			}
			began := time.Now()
			if err := adminCall(cmd.Context(), http.MethodPost, url+"/v1/drain", body, nil); err != nil {
				return err
			}
			what := "leads nothing any more"
			if undo {
				what = "takes part again"
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "node %s %s (%v)\n", args[0], what, time.Since(began).Round(time.Millisecond))
			return err
		},
	}
	cmd.Flags().StringVar(&url, "url", "http://"+defaultHTTP, "HTTP address of any node")
	cmd.Flags().BoolVar(&undo, "undo", false, "let it take part again")
	return cmd
}

func nodeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Manage the nodes of a cluster",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var target string
	remove := &cobra.Command{
		Use:   "remove NODE",
		Short: "Take a node that is gone for good out of the cluster",
		Long: `Take a node that is gone for good out of the cluster: it does not count any more when the others look whether they are more
than half. It is refused while the node is online, and when what it alone has, or the others' majority, would be lost. To
bring the machine back, give it another name and an empty directory.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("%s takes one argument, the name of a node", cmd.CommandPath())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := adminCall(cmd.Context(), http.MethodDelete, target+"/v1/cluster/nodes/"+url.PathEscape(args[0]), nil, nil); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "node %s is removed\n", args[0])
			return err
		},
	}
	remove.Flags().StringVar(&target, "url", "http://"+defaultHTTP, "HTTP address of any other node")
	cmd.AddCommand(remove)
	return cmd
}

// adminCall asks a node by HTTP and reads the JSON answer into to, if that is not nil.
func adminCall(ctx context.Context, method, url string, body []byte, to any) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return usageError{err}
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", shell.ErrConnect, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return fmt.Errorf("%w: %w", shell.ErrConnect, err)
	}
	if resp.StatusCode/100 != 2 {
		var e struct {
			Message string `json:"message"`
			Error   struct {
				Message string `json:"message"`
			} `json:"error"`
		}
		_ = json.Unmarshal(data, &e)
		return fmt.Errorf("%s %s: %s: %s", method, url, resp.Status, firstOf(e.Error.Message, e.Message, strings.TrimSpace(string(data))))
	}
	if to == nil {
		return nil
	}
	return json.Unmarshal(data, to)
}

func firstOf(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}
