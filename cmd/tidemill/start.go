package main

import (
	"fmt"
	"log"
	"net"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/internal/node"
	"github.com/tidemill/tidemill/internal/security"
)

// defaultRoutes is where nodes of a cluster reach each other.
const defaultRoutes = "127.0.0.1:8424"

func startCommand() *cobra.Command {
	cfg := node.Config{}
	cl := node.ClusterConfig{}
	var output, init, join, token string
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Run a node of a cluster",
		Long: `Run one node of a cluster. Every node of it is started with the same --cluster and --routes; which of them leads
is their affair. Clients connect to any of them, or name several (host=a,b,c).

Off loopback, nodes talk over mutual TLS only: --certs names a directory that "tidemill cert init" or "tidemill cert join"
made. With --join and --token the certificate, the cluster's name and its routes are fetched from a node that is
there. SIGTERM or Ctrl-C hands over what the node leads and ends it.

With -o json, one line is printed when the node is ready:
{"ready":true,"name":"a","pg":"host:port","http":"host:port","nats":"host:port","routes":"host:port"}`,
		Example: `  tidemill start --name a --data /var/lib/tidemill --cluster prod --routes a:8424,b:8424,c:8424 \
    --listen-routes :8424 --pg :8432 --http :8433 --certs /etc/tidemill/certs
  tidemill start --name d --data /var/lib/tidemill --join a:8433 --token TOKEN --listen-routes :8424`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return usageError{fmt.Errorf("-o %q: the formats are text and json", output)}
			}
			if cl.Node == "" {
				host, err := os.Hostname()
				if err != nil {
					return usageError{fmt.Errorf("--name is missing: %w", err)}
				}
				cl.Node, _, _ = strings.Cut(host, ".")
			}
			if init != "" {
				text, err := os.ReadFile(init)
				if err != nil {
					return usageError{err}
				}
				cfg.InitSQL = string(text)
			}
			if (join == "") != (token == "") {
				return usageError{fmt.Errorf("--join and --token go together")}
			}
			if join != "" {
				if cfg.Certs == "" {
					return usageError{fmt.Errorf("--join needs --certs, the directory for the certificate that it fetches")}
				}
				host, _, err := net.SplitHostPort(cl.Listen)
				if err != nil {
					return usageError{fmt.Errorf("--listen-routes %q: %w", cl.Listen, err)}
				}
				info, err := security.Join(cmd.Context(), join, token, cl.Node, hostsOf(host, cl.Advertise), cfg.Certs)
				if err != nil {
					return err
				}
				cl.Name, cl.Join = info.Cluster, true
				if len(cl.Routes) == 0 {
					cl.Routes = info.Routes
				}
			}
			if cl.Name == "" {
				return usageError{fmt.Errorf("--cluster is missing: the name of the cluster that the node is of")}
			}
			cfg.Cluster = &cl
			cfg.Version = version
			cfg.Logf = log.New(cmd.ErrOrStderr(), "", log.LstdFlags).Printf
			return runNode(cmd.Context(), cfg, output == "json", cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	nodeFlags(cmd, &cfg)
	f := cmd.Flags()
	f.StringVar(&cl.Node, "name", "", "name of the node, unlike that of any other (default: the machine's)")
	f.StringVar(&cl.Name, "cluster", "", "name of the cluster, the same on all its nodes")
	f.StringSliceVar(&cl.Routes, "routes", nil, "addresses of the cluster's nodes, this one's may be among them: host:port,...")
	f.StringVar(&cl.Listen, "listen-routes", defaultRoutes, "address for the other nodes")
	f.StringVar(&cl.Advertise, "advertise-routes", "", "address that others are told to reach this node by (default: --listen-routes)")
	f.StringVar(&cl.Zone, "zone", "", "failure domain, such as a rack: replicas are spread over different ones")
	f.StringVar(&join, "join", "", "HTTP address of a node to fetch certificate and routes from")
	f.StringVar(&token, "token", "", "token of \"tidemill cert token\" for --join")
	f.StringVar(&init, "init", "", "SQL file to run at the start; CREATE of what is there already is skipped")
	f.StringVarP(&output, "output", "o", "text", "what is printed when ready: text or json")
	return cmd
}

// hostsOf is under which names a node is reached, for its certificate.
func hostsOf(host, advertise string) []string {
	var out []string
	if a, _, err := net.SplitHostPort(advertise); err == nil {
		out = append(out, a)
	}
	if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsUnspecified()) {
		out = append(out, host)
	}
	if name, err := os.Hostname(); err == nil {
		out = append(out, name)
	}
	return out
}
