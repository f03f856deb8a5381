package fabric

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// DefaultReplicas is how many nodes keep a copy of a log, when there are that many.
	DefaultReplicas = 3
	// MaxRoutes bounds the addresses in Cluster.Routes.
	MaxRoutes = 64
	// routeTLSTimeout bounds the handshake of a route or a client, in seconds.
	routeTLSTimeout = 5
	// routePing and routePingsOut say after how long a route that is silent is given up.
	routePing     = 5 * time.Second
	routePingsOut = 2
	// readyPoll is how often WaitReady looks.
	readyPoll = 20 * time.Millisecond
	// resolveTimeout bounds looking up whether a route is our own address.
	resolveTimeout = 2 * time.Second

	accountSystem = "TIDEMILL_SYSTEM"
	userSystem    = "tidemill-system"
	// clusterFileName tells in a data directory that it belongs to a node of a cluster.
	clusterFileName = "CLUSTER"
	// neverAlone is the number of members that a node which joins believes in until the cluster tells it: so many that
	// it can elect nobody with others that are new like itself.
	neverAlone = 1 << 20
	zoneTag    = "zone:"
	peersFile  = "peers.idx"
)

// Cluster says how a Fabric is part of a cluster.
//
// Which nodes make up a cluster is decided once. With no Routes, or only the node's own, a node whose directory is new is
// a cluster of one, which others may join. With Routes that name several nodes, those whose directories are new make one
// when all of them are there, or become members of the one that some of them are in already. Later starts go by what
// is in the directory; Routes are then only where to look for others.
type Cluster struct {
	// Name of the cluster. Nodes of another name are not talked to.
	Name string
	// Listen is the host:port where other nodes connect; port 0 picks one. Advertise is what they are told, if it is
	// not Listen.
	Listen, Advertise string
	// Routes are host:port of other nodes. This node's own may be among them.
	Routes []string
	// Join: the cluster exists already. A node whose directory is new waits for it and never makes one with others.
	Join bool
	// TLS is used for routes both ways; the other side must show a certificate that it verifies. Its callbacks are
	// called for every connection, so that certificates may be renewed. Nil: plaintext, which is refused unless every
	// address is loopback or Insecure is set.
	TLS      *tls.Config
	Insecure bool
	// Tags are labels of failure domains. Replicas are spread over those that begin with "zone:", as far as there are
	// different ones, if every node has one.
	Tags []string
	// Replicas is how many nodes keep a copy of a log, when there are that many. Zero: DefaultReplicas.
	Replicas int
}

// replicas is how many copies are wanted.
func (c *Cluster) replicas() int {
	if c.Replicas <= 0 {
		return DefaultReplicas
	}
	return c.Replicas
}

// clusterFile is the content of clusterFileName.
type clusterFile struct {
	Cluster string `json:"cluster"`
	Node    string `json:"node"`
}

// checkMember makes sure that a directory is used as what it was made: a node's name is its identity in the consensus
// of the cluster, and streams mean something only among those who replicate them.
func checkMember(cfg Config) (known bool, err error) {
	path := filepath.Join(cfg.Dir, clusterFileName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if cfg.Cluster == nil {
			return false, nil
		}
		for _, account := range []string{accountInternal, accountClient} {
			dir := filepath.Join(cfg.Dir, "jetstream", account, "streams")
			if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
				return false, fmt.Errorf("%s holds the data of a node that ran alone and cannot be made a member of cluster %q as it is; start the cluster with an empty directory and restore a backup into it", cfg.Dir, cfg.Cluster.Name)
			}
		}
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var was clusterFile
	if err := json.Unmarshal(text, &was); err != nil {
		return false, fmt.Errorf("%w: read %s: %w", ErrDamaged, path, err)
	}
	if cfg.Cluster == nil {
		return false, fmt.Errorf("%s is that of node %q of cluster %q and cannot be opened alone", cfg.Dir, was.Node, was.Cluster)
	}
	if was.Cluster != cfg.Cluster.Name || was.Node != cfg.Name {
		return false, fmt.Errorf("%s is that of node %q of cluster %q, not of node %q of cluster %q", cfg.Dir, was.Node, was.Cluster, cfg.Name, cfg.Cluster.Name)
	}
	return true, nil
}

// clusterOptions sets what makes the server part of a cluster and prepares the directory for its first start.
func clusterOptions(ctx context.Context, cfg Config, opts *server.Options) error {
	c := cfg.Cluster
	if err := checkNames(cfg.Name, c.Name); err != nil {
		return err
	}
	known, err := checkMember(cfg)
	if err != nil {
		return err
	}
	host, port, err := splitAddress("cluster listen", c.Listen, true)
	if err != nil {
		return err
	}
	if len(c.Routes) > MaxRoutes {
		return fmt.Errorf("cluster %q: %d routes, at most %d", c.Name, len(c.Routes), MaxRoutes)
	}
	if err := checkPlaintext(c, host); err != nil {
		return err
	}
	if port == 0 { // our own address must be known before the server starts
		if port, err = freePort(host); err != nil {
			return fmt.Errorf("cluster listen %q: %w", c.Listen, err)
		}
	}
	opts.Cluster = server.ClusterOpts{
		Name: c.Name, Host: host, Port: port, Advertise: c.Advertise,
		NoAdvertise: cfg.Listen == "", TLSTimeout: routeTLSTimeout, PingInterval: routePing, MaxPingsOut: routePingsOut,
	}
	if c.TLS != nil {
		opts.Cluster.TLSConfig = routeTLS(c.TLS)
	}
	own := net.JoinHostPort(ownHost(host), strconv.Itoa(port))
	if c.Advertise != "" {
		own = c.Advertise
	}
	routes, selfKnown, err := routeURLs(ctx, c, host, port)
	if err != nil {
		return err
	}
	others := len(routes)
	if selfKnown {
		others--
	}
	if !selfKnown && !c.Join { // the server counts members by its routes
		routes = append(routes, &url.URL{Scheme: "nats", Host: own})
	}
	if len(routes) == 0 {
		return fmt.Errorf("cluster %q: there is nothing to join: no routes", c.Name)
	}
	opts.Routes = routes
	opts.Tags.Add(nodeTag + strings.ToLower(cfg.Name))
	for _, tag := range c.Tags {
		opts.Tags.Add(tag)
	}
	if known {
		return nil
	}
	return prepareMember(cfg, others)
}

func checkNames(node, cluster string) error {
	for what, name := range map[string]string{"node": node, "cluster": cluster} {
		if name == "" || len(name) > MaxLogNameBytes || strings.ContainsAny(name, " \t\r\n.*>") {
			return fmt.Errorf("name of the %s is %q: want 1 to %d bytes without spaces, dots and wildcards", what, name, MaxLogNameBytes)
		}
	}
	return nil
}

func splitAddress(what, address string, zeroPort bool) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("%s %q: %w", what, address, err)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 && !zeroPort {
		return "", 0, fmt.Errorf("%s %q: the port is not a number from 1 to 65535", what, address)
	}
	return host, int(n), nil
}

// checkPlaintext refuses routes without TLS that leave the machine.
func checkPlaintext(c *Cluster, host string) error {
	if c.TLS != nil || c.Insecure {
		return nil
	}
	hosts := []string{host}
	for _, address := range append(slices.Clone(c.Routes), c.Advertise) {
		if address == "" {
			continue
		}
		h, _, err := splitAddress("route", address, false)
		if err != nil {
			return err
		}
		hosts = append(hosts, h)
	}
	for _, h := range hosts {
		if !isLoopback(h) {
			return fmt.Errorf("cluster %q: %q is not a loopback address and there is no TLS: nodes do not talk in plain text over a network", c.Name, h)
		}
	}
	return nil
}

// routeTLS is cfg with what routes need: both sides show a certificate.
func routeTLS(cfg *tls.Config) *tls.Config {
	out := cfg.Clone()
	if out.ClientAuth < tls.RequireAnyClientCert {
		out.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if out.ClientCAs == nil {
		out.ClientCAs = out.RootCAs
	}
	if out.MinVersion == 0 {
		out.MinVersion = tls.VersionTLS13
	}
	return out
}

func freePort(host string) (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

// ownHost is where we reach a listener of ours.
func ownHost(host string) string {
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return "127.0.0.1"
	}
	return host
}

// routeURLs returns the routes and whether one of them is this node's own.
func routeURLs(ctx context.Context, c *Cluster, host string, port int) (urls []*url.URL, self bool, err error) {
	seen := map[string]bool{}
	for _, address := range c.Routes {
		h, p, err := splitAddress("route", address, false)
		if err != nil {
			return nil, false, err
		}
		address = net.JoinHostPort(h, strconv.Itoa(p))
		if seen[address] {
			continue
		}
		seen[address] = true
		urls = append(urls, &url.URL{Scheme: "nats", Host: address})
		self = self || address == c.Advertise || p == port && isOwnHost(ctx, h, host)
	}
	return urls, self, nil
}

// isOwnHost reports whether host, of a route with our port, is where we listen.
func isOwnHost(ctx context.Context, host, listen string) bool {
	if host == listen {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	ips, err := net.DefaultResolver.LookupIP(ctx, "ip", host)
	if err != nil {
		return false // it counts as another's, and the cluster waits for one more
	}
	var mine []net.IP
	if ip := net.ParseIP(listen); listen != "" && (ip == nil || !ip.IsUnspecified()) {
		mine, err = net.DefaultResolver.LookupIP(ctx, "ip", listen)
		if err != nil {
			return false
		}
	} else {
		addrs, err := net.InterfaceAddrs()
		if err != nil {
			return false
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				mine = append(mine, n.IP)
			}
		}
	}
	for _, a := range ips {
		if slices.ContainsFunc(mine, a.Equal) {
			return true
		}
	}
	return false
}

// prepareMember writes, before a node's first start, whom it expects in the consensus of the cluster. The server itself
// expects all of its routes, which is right for several new nodes: as their logs are empty, it takes the votes of all
// of them to elect one. It always expects another, though, so a cluster of one is told that it is alone; and a node that
// joins must not find a quorum among nodes as new as itself, since the log of the cluster they would make without knowing
// would take the place of that of the one that exists.
func prepareMember(cfg Config, others int) error {
	var state []byte
	switch {
	case cfg.Cluster.Join:
		state = peerState(neverAlone)
	case others == 0:
		state = peerState(1, nodeID(cfg.Name))
	}
	if state != nil {
		dir := metaDir(cfg.Dir)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(dir, peersFile)); errors.Is(err, fs.ErrNotExist) {
			if err := writeDurable(dir, peersFile, state); err != nil {
				return err
			}
		} else if err != nil {
			return err
		}
	}
	text, err := json.Marshal(clusterFile{Cluster: cfg.Cluster.Name, Node: cfg.Name})
	if err != nil {
		return err
	}
	return writeDurable(cfg.Dir, clusterFileName, append(text, '\n'))
}

// metaDir is where the server keeps the consensus about which streams there are.
func metaDir(dir string) string {
	return filepath.Join(dir, "jetstream", accountSystem, "_js_", "_meta_")
}

// peerState is the server's form of who is in a Raft group: little-endian numbers of members expected and known, the
// known ones' identifiers, and a word that is 0.
func peerState(expected uint32, known ...string) []byte {
	out := binary.LittleEndian.AppendUint32(nil, expected)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(known)))
	for _, id := range known {
		out = append(out, id...)
	}
	return binary.LittleEndian.AppendUint16(out, 0)
}

// nodeID is what the server calls a node in Raft groups: it follows from the node's name.
func nodeID(name string) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	const idBytes = 8
	sum := sha256.Sum256([]byte(name))
	id := make([]byte, idBytes)
	for i := range id {
		id[i] = digits[int(sum[i])%len(digits)]
	}
	return string(id)
}

// writeDurable writes a file in one piece and syncs it and its directory.
func writeDurable(dir, name string, data []byte) error {
	tmp := filepath.Join(dir, name+".tmp")
	file, err := os.Create(tmp)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, filepath.Join(dir, name))
	}
	if err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// checkCluster makes sure that the server is what prepareMember took it for.
func (f *Fabric) checkCluster(ctx context.Context, cfg Config, log *serverLog) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	for f.server().ClusterAddr() == nil && ctx.Err() == nil && log.fatal() == nil {
		pause(ctx, time.Millisecond) // the server opens it beside its start
	}
	if err := log.fatal(); err != nil {
		return err
	}
	switch {
	case f.server().ClusterAddr() == nil:
		return fmt.Errorf("listen for nodes on %s: no listener", cfg.Cluster.Listen)
	case f.server().Node() != nodeID(cfg.Name):
		return fmt.Errorf("the server calls node %q %q, not %q", cfg.Name, f.server().Node(), nodeID(cfg.Name))
	case !f.server().JetStreamIsClustered():
		return errors.New("the embedded server stores as if it were alone; refusing to run")
	}
	return nil
}

// RouteAddr returns where other nodes connect, or nil without a cluster.
func (f *Fabric) RouteAddr() net.Addr {
	if f.cluster == nil {
		return nil
	}
	if addr := f.server().ClusterAddr(); addr != nil {
		return addr
	}
	return nil
}

// WaitReady waits until the cluster has a leader for its own matters and this node knows what that one knows. Without
// a cluster it returns at once. The error of a wait that was cut short says what is missing.
func (f *Fabric) WaitReady(ctx context.Context) error {
	if f.cluster == nil {
		return nil
	}
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		if f.ready() {
			return nil
		}
		select {
		case <-tick.C:
		case <-f.closed:
			return fmt.Errorf("wait for cluster %q: %w", f.cluster.Name, ErrClosed)
		case <-ctx.Done():
			return fmt.Errorf("wait for cluster %q: %s: %w", f.cluster.Name, f.missing(), ctx.Err())
		}
	}
}

func (f *Fabric) ready() bool {
	return !f.storeStopped() && f.server().JetStreamIsCurrent() && f.MetaLeader() != ""
}

// missing says in words why the cluster is not ready.
func (f *Fabric) missing() string {
	online, names := 0, []string{}
	peers := f.Peers()
	for _, p := range peers {
		if p.Online {
			online++
			names = append(names, p.Name)
		}
	}
	if f.MetaLeader() == "" {
		return fmt.Sprintf("no leader; nodes in sight: %d (%s), addresses configured: %d", online, strings.Join(names, ", "), len(f.cluster.Routes))
	}
	return fmt.Sprintf("leader is %s; this node is not up to date yet", f.MetaLeader())
}
