package fabric

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
)

// serverOptions translates cfg. secret is the password of our own two users, who may only connect in-process.
func serverOptions(cfg Config, secret string) (*server.Options, error) {
	opts := &server.Options{}
	accounts := fmt.Sprintf("accounts { %s { jetstream: enabled }, %s { jetstream: enabled } }", accountInternal, accountClient)
	if cfg.Cluster != nil {
		accounts = fmt.Sprintf("accounts { %s { jetstream: enabled }, %s { jetstream: enabled }, %s {}, %s {} }, system_account: %s",
			accountInternal, accountClient, accountSystem, accountAlone, accountSystem)
	}
	if err := opts.ProcessConfigString(accounts); err != nil {
		return nil, fmt.Errorf("accounts: %w", err)
	}
	byName := make(map[string]*server.Account, len(opts.Accounts))
	for _, account := range opts.Accounts {
		byName[account.Name] = account
	}
	inProcess := map[string]struct{}{"IN_PROCESS": {}}
	opts.Users = []*server.User{
		{Username: userInternal, Password: secret, Account: byName[accountInternal], AllowedConnectionTypes: inProcess},
		{Username: userOwn, Password: secret, Account: byName[accountClient], AllowedConnectionTypes: inProcess},
	}
	if cfg.Cluster != nil {
		opts.Users = append(opts.Users, &server.User{Username: userSystem, Password: secret, Account: byName[accountSystem], AllowedConnectionTypes: inProcess})
	}
	if err := listenOptions(cfg, opts, byName[accountClient]); err != nil {
		return nil, err
	}
	opts.ServerName = cfg.Name
	if opts.ServerName == "" {
		opts.ServerName = "tidemill"
	}
	opts.NoSigs = true
	opts.MaxPayload = MaxPayloadBytes
	opts.MaxConn = cfg.MaxConnections
	if opts.MaxConn <= 0 {
		opts.MaxConn = DefaultMaxConnections
	}
	opts.JetStream = true
	opts.StoreDir = cfg.Dir
	opts.SyncAlways = true
	opts.JetStreamMaxStore = cfg.MaxStoreBytes
	if opts.JetStreamMaxStore <= 0 {
		opts.JetStreamMaxStore = unboundedStore
	}
	opts.JetStreamMaxMemory = cfg.MaxMemoryBytes
	if opts.JetStreamMaxMemory <= 0 {
		opts.JetStreamMaxMemory = DefaultMaxMemoryBytes
	}
	opts.StreamMaxBufferedSize = streamBufferBytes
	opts.DisableJetStreamBanner = true
	return opts, nil
}

// listenOptions sets the listener and who may use it.
func listenOptions(cfg Config, opts *server.Options, account *server.Account) error {
	if cfg.User != "" {
		opts.Users = append(opts.Users, &server.User{Username: cfg.User, Password: cfg.Password, Account: account})
	} else if cfg.Listen != "" || cfg.Cluster == nil {
		opts.Users = append(opts.Users, &server.User{Username: userAnonymous, Password: randomHex(16), Account: account})
		opts.NoAuthUser = userAnonymous
	}
	if cfg.Listen == "" {
		if opts.DontListen = cfg.Cluster == nil; !opts.DontListen {
			// The server opens its routes only behind a listener for clients. Nobody can log in here: our own users
			// are bound to connections inside the process.
			opts.Host, opts.Port = "127.0.0.1", server.RANDOM_PORT
		}
		return nil
	}
	host, portText, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen on %q: %w", cfg.Listen, err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return fmt.Errorf("listen on %q: port: %w", cfg.Listen, err)
	}
	if cfg.User == "" && !isLoopback(host) {
		return fmt.Errorf("listen on %q: not a loopback address and no user is set", cfg.Listen)
	}
	if cfg.TLS != nil {
		opts.TLSConfig, opts.TLSTimeout = cfg.TLS.Clone(), routeTLSTimeout
	}
	opts.Host, opts.Port = host, int(port)
	if port == 0 {
		opts.Port = server.RANDOM_PORT
	}
	return nil
}

// startServer starts a server and returns when it is ready.
func (f *Fabric) startServer(ctx context.Context) error {
	cfg, lone := f.cfg, false
	opts, err := serverOptions(cfg, f.secret)
	if err != nil {
		return err
	}
	if cfg.Cluster != nil {
		if err := clusterOptions(ctx, cfg, opts); err != nil {
			return err
		}
		if lone = isOnlyMember(cfg.Dir); lone {
			companionOptions(opts, f.secret)
		}
	} else if _, err := checkMember(cfg); err != nil {
		return err
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return err
	}
	f.srv.Store(srv)
	log := &serverLog{out: cfg.Logger, full: func() { f.space.broken.Store(true) }}
	srv.SetLoggerV2(log, false, false, false)
	srv.Start()
	if err := log.fatal(); err != nil {
		return err
	}
	if cfg.Listen != "" {
		if f.addr == nil { // else it is the same again
			f.addr = srv.Addr()
		}
		if srv.Addr() == nil {
			return fmt.Errorf("listen on %s: no listener", cfg.Listen)
		}
		f.cfg.Listen = f.addr.String()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if cfg.Cluster != nil {
		if err := f.checkCluster(ctx, cfg, log); err != nil {
			return err
		}
		f.cfg.Cluster.Listen = srv.ClusterAddr().String()
	}
	if err := f.checkSync(); err != nil {
		return err
	}
	f.up.Store(true)
	if lone {
		return f.keepCompany(opts.LeafNode.Port, f.secret)
	}
	return nil
}

// stopServer stops the server, if there is one, and waits until it has ended.
func (f *Fabric) stopServer() {
	f.up.Store(false)
	if srv := f.server(); srv != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
	}
}

// restartServer stops the server, calls between, which may be nil, and starts another in its place; our connections
// come back by themselves, as those of clients do. In a cluster this is how a store is opened again: a store that is
// opened below a running server answers for streams, by itself and for all nodes, before it knows that there are others.
func (f *Fabric) restartServer(between func() error) error {
	f.space.opening.Store(true)
	defer f.space.opening.Store(false)
	f.stopServer()
	f.space.broken.Store(false) // a write that fails from here on is a new failure
	var err error
	if between != nil {
		err = between()
	}
	if serr := f.startServer(f.life); serr != nil {
		f.stopServer()
		return errors.Join(err, fmt.Errorf("start the server again: %w", serr))
	}
	return err
}

// inProcess connects to the server that runs.
type inProcess struct{ f *Fabric }

// InProcessConn is called by the client library.
func (p inProcess) InProcessConn() (net.Conn, error) {
	if !p.f.up.Load() {
		return nil, errors.New("the server is being started")
	}
	return p.f.server().InProcessConn()
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// serverLog passes the server's messages on and remembers the first fatal one, which the server survives.
type serverLog struct {
	out  Logger
	full func() // called when a write meets a full disk

	mu  sync.Mutex
	err error
}

func (l *serverLog) fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// noSpaceLeft is how the system says that a disk is full.
const noSpaceLeft = "no space left"

// plaintextWarning is what the server says about passwords in its options. Ours are
// made at random for each run and never leave the process.
const plaintextWarning = "Plaintext passwords detected"

func (l *serverLog) put(level slog.Level, format string, v []any) {
	if l.out != nil && !strings.HasPrefix(format, plaintextWarning) {
		l.out.Log(level, fmt.Sprintf(format, v...))
	}
}

func (l *serverLog) Noticef(format string, v ...any) { l.put(slog.LevelInfo, format, v) }
func (l *serverLog) Warnf(format string, v ...any)   { l.put(slog.LevelWarn, format, v) }
func (l *serverLog) Errorf(format string, v ...any) {
	// The server tells nobody else: the stream takes no more writes and does not answer.
	if l.full != nil && strings.Contains(fmt.Sprintf(format, v...), noSpaceLeft) {
		l.full()
	}
	l.put(slog.LevelError, format, v)
}
func (l *serverLog) Debugf(format string, v ...any) { l.put(slog.LevelDebug, format, v) }
func (l *serverLog) Tracef(format string, v ...any) { l.put(slog.LevelDebug-4, format, v) }
func (l *serverLog) Fatalf(format string, v ...any) {
	l.mu.Lock()
	if l.err == nil {
		l.err = fmt.Errorf(format, v...)
	}
	l.mu.Unlock()
	l.put(slog.LevelError, format, v)
}
