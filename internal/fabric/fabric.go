package fabric

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// DefaultListen is where clients are served when nobody says otherwise.
	DefaultListen = "127.0.0.1:8422"
	// MaxPayloadBytes is the largest message the server takes, headers included.
	MaxPayloadBytes = 8 << 20
	// DefaultRequestTimeout bounds one request to the server when the context sets no earlier deadline.
	DefaultRequestTimeout = 5 * time.Second
	// DefaultMaxConnections bounds connections of clients, ours among them.
	DefaultMaxConnections = 4096
	// DefaultMaxMemoryBytes bounds what clients may keep in memory streams.
	DefaultMaxMemoryBytes = 256 << 20

	accountInternal = "TIDEMILL"
	accountClient   = "CLIENT"
	userInternal    = "tidemill-internal"
	userOwn         = "tidemill-connector"
	userAnonymous   = "anonymous"

	streamBufferBytes = 256 << 20 // records received and not yet stored, a stream; above MaxBatchBytes and any window
	connectTimeout    = 5 * time.Second
	reconnectWait     = 20 * time.Millisecond
)

// Config says how to start a Fabric. Only Dir is required.
type Config struct {
	// Dir holds everything that is durable; created if it is not there. One Fabric at a time may have it open.
	Dir string
	// Listen is the address for NATS clients: "127.0.0.1:0" picks a port, "" (zero) opens none. The usual choice is
	// DefaultListen. Any address that is not loopback needs User and Password.
	Listen string
	// User and Password are what NATS clients must give. Zero: no user is asked for.
	User, Password string
	// TLS is used with NATS clients. Its callbacks are called for every connection, so that certificates may be renewed.
	// Nil: they talk in plain text.
	TLS *tls.Config
	// Name identifies the server to clients. Zero: "tidemill". In a cluster it is required, and no other node has it.
	Name string
	// Cluster makes the server a node of a cluster. Nil: it is alone.
	Cluster *Cluster
	// MaxStoreBytes bounds what all streams may take on disk. Zero: the disk does, see ReserveBytes.
	MaxStoreBytes int64
	// ReserveBytes is what is kept free on the disk for work under way: below it Room says that there is none. Zero:
	// DefaultReserveBytes. Negative: nothing is kept.
	ReserveBytes int64
	// FreeBytes tells what may still be written on the disk of a directory. Zero: the file system does. For tests.
	FreeBytes func(dir string) (int64, error)
	// MaxMemoryBytes bounds clients' memory streams. Zero: DefaultMaxMemoryBytes.
	MaxMemoryBytes int64
	// MaxConnections bounds connections. Zero: DefaultMaxConnections.
	MaxConnections int
	// RequestTimeout bounds one request to the server, an append above all. Zero: DefaultRequestTimeout.
	RequestTimeout time.Duration
	// Logger receives the server's messages. Zero: they are dropped.
	Logger Logger
	// Faults injects failures. Zero: none. For tests only.
	Faults *Faults
}

// Logger receives the embedded server's messages. Log must not block and may be called from many goroutines.
type Logger interface {
	Log(level slog.Level, msg string)
}

// Faults injects failures into appends, so that tests meet unknown outcomes at will. Each function may be nil. They are
// called from the goroutine that appends and must be safe for concurrent use.
type Faults struct {
	// BeforeAppend runs before anything is sent; if it returns an error nothing is sent and the append returns
	// ErrUnknown, as if the connection had been lost on the way.
	BeforeAppend func(log string, expectLast uint64) error
	// AfterAppend runs when the acknowledgement has come; if it returns an error the acknowledgement is dropped and
	// the append returns ErrUnknown, as if it had been lost on the way back.
	AfterAppend func(log string, last uint64) error
}

// Fabric is one embedded server and our connections to it. All methods may be called from many goroutines.
type Fabric struct {
	dir     string
	name    string
	cluster *Cluster // nil: alone; never changed
	timeout time.Duration
	logger  Logger
	faults  Faults
	nonce   string // random, makes identifiers of this run unlike those of any other

	lock   *os.File
	space  *space
	store  server.JetStreamConfig // as the server was started
	cfg    Config                 // with the ports that were picked
	secret string                 // the password of our own users
	srv    atomic.Pointer[server.Server]
	up     atomic.Bool // srv takes connections
	addr   net.Addr

	internal *nats.Conn // our own account
	clients  *nats.Conn // the account of clients
	system   *nats.Conn // the servers' account; nil without a cluster
	rpc      *rpc
	users    *userTable // locks and members of users' programs
	services services   // of clients
	js       jetstream.JetStream
	clientJS jetstream.JetStream

	life      context.Context // ends when Close begins
	endLife   context.CancelFunc
	ids       atomic.Uint64
	holes     atomic.Uint64          // records that a copy lacked
	lastHole  atomic.Pointer[string] // the gap that was met last
	repairs   atomic.Uint64
	reopening sync.Mutex  // held while the server of a cluster is stopped and started; across I/O, for that is what it orders
	suspects  chan string // streams whose copies on this node should be looked at
	closing   atomic.Bool
	closeOnce sync.Once
	closed    chan struct{} // closed when Close begins
	done      chan struct{} // closed when Close has ended

	running sync.WaitGroup // goroutines of appenders; Add only under mu with closing unset
	mu      sync.Mutex
	cursors map[*cursor]struct{} // open readers
	link    *link                // of the internal account
	outlink *link                // of the account of clients
	terms   map[string]*link     // of the leaders of the streams that were written to
}

// Start opens cfg.Dir, starts the embedded server and connects to it. It returns when the server is ready for clients.
// Returns ErrInUse when the directory is open elsewhere. The caller closes what Start returns.
func Start(ctx context.Context, cfg Config) (*Fabric, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("start fabric: %w", err)
	}
	if cfg.Dir == "" {
		return nil, errors.New("start fabric: Config.Dir is empty")
	}
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("start fabric: %w", err)
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("start fabric: %w", err)
	}
	f := &Fabric{
		dir: cfg.Dir, name: cfg.Name, timeout: cfg.RequestTimeout, logger: cfg.Logger, nonce: randomHex(8), lock: lock,
		closed: make(chan struct{}), done: make(chan struct{}), cursors: map[*cursor]struct{}{}, terms: map[string]*link{},
		space: newSpace(cfg), cfg: cfg, secret: randomHex(16), suspects: make(chan string, maxSuspects),
	}
	f.life, f.endLife = context.WithCancel(context.WithoutCancel(ctx))
	f.users = newUserTable(f)
	if f.timeout <= 0 {
		f.timeout = DefaultRequestTimeout
	}
	if cfg.Faults != nil {
		f.faults = *cfg.Faults
	}
	if cfg.Cluster != nil {
		own := *cfg.Cluster
		f.cluster, f.cfg.Cluster = &own, &own
	}
	if err := f.start(ctx); err != nil {
		f.shutdown()
		return nil, fmt.Errorf("start fabric in %s: %w", cfg.Dir, err)
	}
	return f, nil
}

func (f *Fabric) start(ctx context.Context) error {
	f.link, f.outlink = newLink(ctx), newLink(ctx)
	if err := f.startServer(ctx); err != nil {
		return err
	}
	f.store = f.storeConfig()
	var err error
	if f.internal, err = f.connect(userInternal, nats.ReconnectHandler(func(*nats.Conn) { f.relink(ctx, &f.link) })); err != nil {
		return err
	}
	if f.clients, err = f.connect(userOwn, nats.ReconnectHandler(func(*nats.Conn) { f.relink(ctx, &f.outlink) })); err != nil {
		return err
	}
	if f.rpc, err = startRPC(f); err != nil {
		return err
	}
	if f.cluster != nil {
		if f.system, err = f.connect(userSystem); err != nil {
			return err
		}
	}
	if f.js, err = jetstream.New(f.internal, jetstream.WithDefaultTimeout(f.timeout)); err != nil {
		return err
	}
	if f.clientJS, err = jetstream.New(f.clients, jetstream.WithDefaultTimeout(f.timeout)); err != nil {
		return err
	}
	f.goRun(f.watchSpace)
	if f.cluster != nil {
		if err := f.watchElections(); err != nil {
			return err
		}
		if _, err := f.Listen(holeSubject, f.hearOfHoles); err != nil {
			return err
		}
		f.goRun(f.watchCursors)
		f.goRun(f.watchCopies)
	}
	return nil
}

// server is the one that runs, or the last one that did.
func (f *Fabric) server() *server.Server { return f.srv.Load() }

// checkSync makes sure that the running server syncs every write before it acknowledges it.
func (f *Fabric) checkSync() error {
	if jsc := f.server().JetStreamConfig(); jsc == nil || !jsc.SyncAlways {
		return errors.New("the embedded server does not sync every write; refusing to run")
	}
	return nil
}

// connect opens a connection inside the process. It reconnects for ever, and refuses writes while it is not connected
// rather than keep them for later.
func (f *Fabric) connect(user string, more ...nats.Option) (*nats.Conn, error) {
	conn, err := nats.Connect("", append(more,
		nats.InProcessServer(inProcess{f}), nats.UserInfo(user, f.secret), nats.Name(user), nats.Timeout(connectTimeout),
		nats.MaxReconnects(-1), nats.ReconnectWait(reconnectWait), nats.ReconnectBufSize(-1),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			level := slog.LevelWarn
			if user == userInternal && errors.Is(err, nats.ErrSlowConsumer) {
				level = slog.LevelDebug // a reader that is slower than the server fetches again what it has no place for
			}
			f.log(level, fmt.Sprintf("connection of %s: subject %q: %v", user, subject, err))
		}))...)
	if err != nil {
		return nil, fmt.Errorf("connect in-process as %s: %w", user, err)
	}
	return conn, nil
}

// link is one uninterrupted connection. When another takes its place, answers that were on their way are lost.
type link struct {
	context.Context // done when the connection has been made anew
	end             context.CancelFunc
}

func newLink(ctx context.Context) *link {
	ctx, end := context.WithCancel(context.WithoutCancel(ctx))
	return &link{ctx, end}
}

// relink notes that the connection was made anew whose link is at place.
func (f *Fabric) relink(ctx context.Context, place **link) {
	f.mu.Lock()
	old := *place
	*place = newLink(ctx)
	f.mu.Unlock()
	old.end()
	conn := f.internal
	if place == &f.outlink {
		conn = f.clients
	}
	f.breakCursors(conn)
}

// currentLink is taken before something is sent: if it breaks, the answer may never come.
func (f *Fabric) currentLink() *link { return f.linkOf(f.internal) }

// linkOf is the link of one of our two connections.
func (f *Fabric) linkOf(conn *nats.Conn) *link {
	f.mu.Lock()
	defer f.mu.Unlock()
	if conn == f.clients {
		return f.outlink
	}
	return f.link
}

var errRelinked = errors.New("the connection broke")

// Addr returns where clients are served, or nil without a listener.
func (f *Fabric) Addr() net.Addr { return f.addr }

// Health returns nil while the server can store records. After a write met a full disk it cannot until there is room
// again: ErrNoSpace.
func (f *Fabric) Health() error {
	switch {
	case f.closing.Load():
		return ErrClosed
	case f.storeStopped():
		return fmt.Errorf("%w: the server has stopped storing, see its messages; it goes on by itself when there is room in %s", ErrNoSpace, f.dir)
	case !f.internal.IsConnected():
		return fmt.Errorf("%w: not connected to the embedded server", ErrUnavailable)
	}
	return nil
}

// Dir returns the data directory.
func (f *Fabric) Dir() string { return f.dir }

// Close drains subscriptions, stops the server, waits for everything it started and frees the directory. When ctx ends
// first the draining is cut short; the server is stopped properly all the same. Later calls wait for the first.
func (f *Fabric) Close(ctx context.Context) error {
	f.closeOnce.Do(func() {
		f.mu.Lock()
		f.closing.Store(true)
		close(f.closed)
		f.endLife()
		open := make([]*cursor, 0, len(f.cursors))
		for c := range f.cursors {
			open = append(open, c)
		}
		f.mu.Unlock()
		for _, c := range open {
			c.stop()
		}
		f.running.Wait()
		drain(ctx, f.clients)
		drain(ctx, f.internal)
		f.handOver(ctx)
		f.shutdown()
		close(f.done)
	})
	<-f.done
	return nil
}

// goRun runs fn in a goroutine that Close waits for; false when the Fabric is closing. fn must end when f.closed does.
func (f *Fabric) goRun(fn func()) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closing.Load() {
		return false
	}
	f.running.Go(fn)
	return true
}

// drain lets callbacks in flight end, then closes conn.
func drain(ctx context.Context, conn *nats.Conn) {
	ended := make(chan struct{})
	conn.SetClosedHandler(func(*nats.Conn) { close(ended) })
	if conn.Drain() != nil {
		return
	}
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// shutdown stops whatever of the Fabric is running.
func (f *Fabric) shutdown() {
	for _, conn := range []*nats.Conn{f.clients, f.internal, f.system} {
		if conn != nil {
			conn.Close()
		}
	}
	f.endLife()
	f.stopServer()
	for _, l := range []*link{f.link, f.outlink} {
		if l != nil {
			l.end()
		}
	}
	f.lock.Close()
}

// withTimeout bounds ctx by the request time-out.
func (f *Fabric) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, f.timeout)
}

// nextID returns an identifier unlike any other.
func (f *Fabric) nextID() string { return f.nonce + "-" + strconv.FormatUint(f.ids.Add(1), 36) }

func (f *Fabric) log(level slog.Level, msg string) {
	if f.logger != nil {
		f.logger.Log(level, msg)
	}
}

// internalStreamDir is where the server keeps a stream of ours.
func (f *Fabric) internalStreamDir(stream string) string {
	return filepath.Join(f.dir, "jetstream", accountInternal, "streams", stream)
}

func randomHex(byteCount int) string {
	buf := make([]byte, byteCount)
	rand.Read(buf) // never fails
	return hex.EncodeToString(buf)
}
