// Package node is the composition root: what starts, in which order, and what
// stops. A node is the embedded broker, one pipeline, and the front doors that its
// configuration asks for.
package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidemill/tidemill/internal/backup"
	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/engine"
	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/httpapi"
	"github.com/tidemill/tidemill/internal/pgserver"
	"github.com/tidemill/tidemill/internal/security"
	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/types"
)

// The one user and database of a node without configuration.
const (
	User     = "tidemill"
	Database = "tidemill"
)

// Config says what a node runs. DataDir is required.
type Config struct {
	// DataDir holds all that is kept; it is created if need be.
	DataDir string
	// PG, HTTP and NATS are the addresses to listen on; port 0 picks a free one, empty
	// means none.
	PG, HTTP, NATS string
	// InitSQL runs before the node is ready. What it creates and is there already is
	// skipped.
	InitSQL string
	// Workers is how many goroutines compute the views; zero means one a processor.
	Workers int
	// MaxConnections is how many SQL clients are served at once; zero means
	// pgserver.DefaultMaxConnections.
	MaxConnections int
	// QueryMemoryMB bounds the memory of one ad-hoc query in megabytes; zero means
	// engine.DefaultQueryBytes.
	QueryMemoryMB int64
	// MemoryBytes is how much memory views' state and cached rows may take together; the
	// rest is on the disk. Zero means ViewMemoryMB, and if that is zero too, half of what
	// the machine has or the control group allows.
	MemoryBytes int64
	// ViewMemoryMB is MemoryBytes in megabytes, for those who set it so.
	ViewMemoryMB int64
	// CheckpointInterval is the time between two checkpoints. Zero means
	// engine.DefaultCheckpointInterval; negative that the statement CHECKPOINT alone makes
	// them.
	CheckpointInterval time.Duration
	// Recovery is told how far the pipeline has come on its way up; nil is fine.
	Recovery *engine.Recovery
	// DiskReserveMB is what is kept free on the disk of DataDir, in megabytes: below it
	// writes are refused. Zero means fabric.DefaultReserveBytes; negative that nothing is
	// kept.
	DiskReserveMB int64
	// Fill is engine.Config.Fill, for tests.
	Fill    engine.FillConfig
	Version string
	// Certs is the directory of the node's certificates (see security.Open), which are used
	// for clients and between nodes. Empty: there are none, and nothing leaves loopback in plain text unless
	// Insecure is set.
	Certs    string
	Insecure bool
	// RequirePassword asks SQL and HTTP clients on loopback for passwords too, where they are
	// trusted otherwise.
	RequirePassword bool
	// Cluster makes the node one of several; nil: it is alone.
	Cluster *ClusterConfig
	// Logf receives what is worth a line in a log; nil is silent.
	Logf func(format string, args ...any)
}

// Addrs is where a node can be reached; empty where it does not listen. Routes is for other
// nodes.
type Addrs struct{ PG, HTTP, NATS, Routes string }

// Node is a running node. It is safe for concurrent use.
type Node struct {
	cfg      Config
	addrs    Addrs
	fabric   *fabric.Fabric
	files    *ckpt.OSFS // of checkpoints
	pipeline *pipeline
	cluster  *cluster        // nil: the node is alone
	certs    *security.Certs // nil: it has none
	started  time.Time
	pg       *pgserver.Server
	http     *http.Server
	stop     context.CancelCauseFunc // ends what the front doors have under way
	failed   chan error              // the first failure; one is kept
	wg       sync.WaitGroup          // servers, and who watches the pipeline
	closing  atomic.Bool
	once     sync.Once
	err      error // of Close
}

// Start starts a node and returns when it is ready: its views are as they were, and
// its addresses answer. They do so before, to say that it is starting up. ctx bounds
// the start only. Whatever was started is stopped when it fails.
func Start(ctx context.Context, cfg Config) (n *Node, err error) {
	if cfg.DataDir == "" {
		return nil, errors.New("start node: no data directory")
	}
	if cfg.Logf == nil {
		cfg.Logf = func(string, ...any) {}
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("start node: %w", err)
	}
	if cfg.Recovery == nil {
		cfg.Recovery = &engine.Recovery{}
	}
	n = &Node{cfg: cfg, failed: make(chan error, 1), pipeline: &pipeline{recovery: cfg.Recovery}, started: time.Now()}
	if cfg.Certs != "" {
		if n.certs, err = security.Open(cfg.Certs); err != nil {
			return nil, fmt.Errorf("start node: %w", err)
		}
		n.certs.OnProblem(func(err error) { cfg.Logf("certificates in %s: %v", cfg.Certs, err) })
	}
	if cfg.Cluster != nil {
		if n.cluster, err = newCluster(n, *cfg.Cluster); err != nil {
			return nil, fmt.Errorf("start node: %w", err)
		}
	}
	base, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	n.stop = stop
	defer func() {
		if err != nil {
			_ = n.Close(context.WithoutCancel(ctx))
			n = nil
		}
	}()
	if err := n.startFabric(ctx); err != nil {
		return n, err
	}
	if err := n.listen(ctx, base); err != nil {
		return n, err
	}
	if n.files, err = ckpt.NewOSFS(backup.CheckpointDir(n.cfg.DataDir, Database)); err != nil {
		return n, fmt.Errorf("start node: checkpoints: %w", err)
	}
	if n.cluster != nil {
		if err := n.cluster.join(ctx, base); err != nil {
			return n, fmt.Errorf("start node: %w", err)
		}
	}
	return n, n.startPipeline(ctx, base)
}

// startPipeline opens the pipeline and shows it to the front doors.
func (n *Node) startPipeline(ctx, base context.Context) error {
	open := n.openPipeline
	if n.cluster != nil {
		open = n.cluster.open
	}
	e, err := open(ctx)
	if err != nil {
		return fmt.Errorf("start node: %w", err)
	}
	if n.cluster != nil {
		n.pipeline.engine.Store(e)
		n.wg.Go(func() { n.cluster.keep(base, e) })
	}
	if n.cfg.InitSQL != "" {
		if err := n.initialise(ctx, e, n.cfg.InitSQL); err != nil {
			_ = e.Close(ctx)
			return fmt.Errorf("start node: init SQL: %w", err)
		}
	}
	if n.cluster == nil {
		n.pipeline.engine.Store(e)
		n.wg.Go(func() { n.watch(base, e) })
	}
	return nil
}

// startFabric starts the broker.
func (n *Node) startFabric(ctx context.Context) error {
	cfg := fabric.Config{Dir: n.cfg.DataDir, Listen: n.cfg.NATS, ReserveBytes: n.cfg.DiskReserveMB << 20, Logger: fabricLog{n.cfg.Logf}}
	if n.cluster != nil {
		cfg.Name, cfg.Cluster = n.cluster.cfg.Node, n.cluster.fabric()
	}
	f, err := fabric.Start(ctx, cfg)
	if err != nil {
		return fmt.Errorf("start node: %w", err)
	}
	n.fabric = f
	if a := f.Addr(); a != nil {
		n.addrs.NATS = a.String()
	}
	if n.cluster != nil {
		n.addrs.Routes = f.RouteAddr().String()
	}
	return nil
}

// listen opens the front doors.
func (n *Node) listen(ctx, base context.Context) error {
	var lc net.ListenConfig
	if n.cfg.PG != "" {
		ln, err := lc.Listen(ctx, "tcp", n.cfg.PG)
		if err != nil {
			return fmt.Errorf("start node: SQL port: %w", err)
		}
		n.addrs.PG = ln.Addr().String()
		n.pg = pgserver.New(pgserver.Config{Engine: n.pipeline, MaxConnections: n.cfg.MaxConnections, TLS: n.serverTLS(), Auth: n.pipeline, RequirePassword: n.cfg.RequirePassword, AllowPlaintext: n.cfg.Insecure, Logf: n.cfg.Logf})
		n.wg.Go(func() {
			if err := n.pg.Serve(base, ln); err != nil {
				n.fail(fmt.Errorf("SQL port: %w", err))
			}
		})
	}
	if n.cfg.HTTP != "" {
		ln, err := lc.Listen(ctx, "tcp", n.cfg.HTTP)
		if err != nil {
			return fmt.Errorf("start node: HTTP port: %w", err)
		}
		n.addrs.HTTP = ln.Addr().String()
		api := httpapi.New(httpapi.Config{Backend: backend{n.pipeline}, Metrics: metricsHandler(n), Backup: n.backup,
			Status: func() any { return n.Status() }, Drain: n.Drain, Remove: n.Remove, TLS: n.serverTLS(), Auth: n.pipeline, RequirePassword: n.cfg.RequirePassword, AllowPlaintext: n.cfg.Insecure,
			IsNode: n.isNode(), Locks: locks{n.fabric}, Groups: locks{n.fabric}, Services: services{n.fabric}, Join: n.joinHandler(), User: User, Database: Database, Version: n.cfg.Version})
		n.http = api.Server()
		n.http.BaseContext = func(net.Listener) context.Context { return base }
		n.wg.Go(func() {
			if err := n.http.Serve(api.Listener(ln)); !errors.Is(err, http.ErrServerClosed) {
				n.fail(fmt.Errorf("HTTP port: %w", err))
			}
		})
	}
	return nil
}

// serverTLS is how clients are served, nil if there are no certificates.
func (n *Node) serverTLS() *tls.Config {
	if n.certs == nil {
		return nil
	}
	return n.certs.Server()
}

// isNode tells other nodes of the cluster by their certificates.
func (n *Node) isNode() func(*tls.ConnectionState) bool {
	if n.certs == nil {
		return nil
	}
	return n.certs.IsNode
}

// joinHandler lets machines join the cluster, and says so if this node cannot for want of
// the authority's key.
func (n *Node) joinHandler() http.Handler {
	if n.certs == nil {
		return nil
	}
	return security.JoinHandler(n.cfg.Certs)
}

// fail keeps the first failure for Failed.
func (n *Node) fail(err error) {
	select {
	case n.failed <- err:
	default:
	}
}

// Failed receives the failure that ended the node's work, if one does.
func (n *Node) Failed() <-chan error { return n.failed }

// Addrs returns where the node can be reached.
func (n *Node) Addrs() Addrs { return n.addrs }

// OpenSession opens a session in this process, without a network.
func (n *Node) OpenSession(ctx context.Context, opt session.Options) (session.Session, error) {
	return n.pipeline.OpenSession(ctx, opt)
}

// Close stops the front doors, commits what was accepted, stops the pipeline and
// then the broker. ctx bounds how long work under way may take. Further calls
// return what the first did.
func (n *Node) Close(ctx context.Context) error {
	n.once.Do(func() { n.err = n.close(ctx) })
	return n.err
}

func (n *Node) close(ctx context.Context) error {
	var errs []error
	n.closing.Store(true)
	if n.cluster != nil {
		n.cluster.handOver(ctx)
	}
	n.stop(&types.Error{Code: "57P01", Message: "terminating connection due to administrator command"})
	if n.http != nil {
		if err := n.http.Shutdown(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop HTTP: %w", err), n.http.Close())
		}
	}
	if n.pg != nil {
		n.pg.Close()
	}
	if e := n.pipeline.running(); e != nil {
		if err := e.Close(ctx); err != nil {
			errs = append(errs, err)
		}
	}
	if n.cluster != nil {
		n.cluster.leave()
	}
	if n.fabric != nil {
		if err := n.fabric.Close(ctx); err != nil {
			errs = append(errs, err)
		}
	}
	n.wg.Wait()
	if n.files != nil {
		if err := n.files.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close checkpoints: %w", err))
		}
	}
	return errors.Join(errs...)
}
