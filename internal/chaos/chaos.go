// Package chaos runs a cluster on this machine, lets clients work on it, breaks it in many ways and
// looks whether it kept its promises. It knows the cluster as its clients do: by SQL, HTTP, signals
// and the network, and excuses nothing.
package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidemill/tidemill/internal/devcluster"
)

// Config is what a run does. Binary and Dir are needed.
type Config struct {
	Binary   string        // the program whose nodes are tried
	Dir      string        // directory of data and logs; it must be empty or not there
	Nodes    int           // 1 to devcluster.MaxNodes
	Duration time.Duration // of the load
	Faults   []Kind        // what may happen; none: nothing does
	Seed     uint64        // of the schedule and of what clients do
	// Network is how nodes are joined: "namespaces", "proxies", or "" for the first of these that
	// can be had.
	Network string
	Args    []string // more arguments of every node
	// Workload is statements of the user's own, which are run in place of the built-in workload; see
	// ParseWorkload. Empty: the built-in one.
	Workload string
	// Keep says that the data is looked at later: what is on disks that end with the run is copied
	// to Dir/NAME-disk. It is in any case when something was found.
	Keep bool
	Log  func(format string, args ...any) // nil: nothing is told
}

const (
	// MinDuration is the shortest run that has room for faults.
	MinDuration = 10 * time.Second
	// healWithin bounds how long it may take until all nodes serve and take writes after the last
	// fault, and settleWithin how long subscribers and sinks may take to get what is left.
	healWithin   = 2 * time.Minute
	healTry      = 70 * time.Second // of one try, which may have to start the node
	settleWithin = time.Minute
	// followers is how many subscribers there are.
	followers = 3
)

// chaos is a run.
type chaos struct {
	cfg     Config
	cluster *devcluster.Cluster
	net     network
	links   *links
	doors   *doors
	own     *Workload // the user's; nil: the built-in one
	start   time.Time
	whole   context.Context // the run's, load and checks
	skipped []string
	labels  bool // old answers are labelled, so that can be checked
	latest  bool // read = 'latest' is known
	goal    atomic.Int64

	findings  findings
	tally     *tally
	recov     recoveries
	inserts   inserts
	transfers transfers
	beats     beats
	registers registers
	producers producers
	follow3   []*follower
	work      sync.WaitGroup // starts of nodes that ended by themselves

	mu      sync.Mutex
	events  []Event
	exits   []string
	reads   readCounts
	spans   []Span
	offsets map[int]time.Duration // of clocks, by node
}

func (r *chaos) now() time.Duration { return time.Since(r.start) }

func (r *chaos) log(format string, args ...any) {
	if r.cfg.Log != nil {
		r.cfg.Log(format, args...)
	}
}

// Run carries a run out. The report tells what was found; an error is something that kept the
// run from finding out.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if cfg.Duration < MinDuration {
		return nil, fmt.Errorf("a run of %v: want at least %v", cfg.Duration, MinDuration)
	}
	if cfg.Nodes < 1 || cfg.Nodes > devcluster.MaxNodes {
		return nil, fmt.Errorf("a cluster of %d nodes: want 1 to %d", cfg.Nodes, devcluster.MaxNodes)
	}
	if err := emptyDir(cfg.Dir); err != nil {
		return nil, err
	}
	whole, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &chaos{cfg: cfg, whole: whole, tally: newTally(), offsets: map[int]time.Duration{}, start: time.Now()}
	if cfg.Workload != "" {
		w, err := ParseWorkload(cfg.Workload)
		if err != nil {
			return nil, err
		}
		r.own = w
	}
	if err := r.setUp(); err != nil {
		return nil, err
	}
	defer r.net.close()
	defer r.cluster.Close()
	defer r.work.Wait()
	defer cancel()
	defer r.doors.close()
	r.log("a cluster of %d, network: %s, seed %d, data and logs in %s", cfg.Nodes, r.net.name(), cfg.Seed, cfg.Dir)
	if err := r.cluster.StartAll(ctx); err != nil {
		return nil, err
	}
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	report, err := r.run(ctx)
	if err != nil {
		return nil, err
	}
	if c, ok := r.net.(*cages); ok && (cfg.Keep || report.Failed()) {
		_ = r.cluster.StopAll()
		if err := c.save(func(i int) string { return filepath.Join(cfg.Dir, devcluster.Name(i)+"-disk") }); err != nil {
			return report, err
		}
	}
	return report, nil
}

func emptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return os.MkdirAll(dir, 0o755)
	}
	if err == nil && len(entries) > 0 {
		return fmt.Errorf("directory %s is not empty: a run needs one of its own", dir)
	}
	return err
}

// setUp makes the network and the cluster, and leaves out what cannot be done.
func (r *chaos) setUp() error {
	cfg := &r.cfg
	cfg.Faults = slices.Clone(cfg.Faults)
	skip := func(k Kind, why string) {
		if i := slices.Index(cfg.Faults, k); i >= 0 {
			cfg.Faults = slices.Delete(cfg.Faults, i, i+1)
			r.skipped = append(r.skipped, fmt.Sprintf("%s: %s", k, why))
		}
	}
	if cfg.Nodes == 1 {
		skip(Partition, "there is one node")
		skip(Slow, "there is one node")
	}
	if slices.Contains(cfg.Faults, Clock) && !knowsClock(cfg.Binary) {
		skip(Clock, "the program was built without the tag failpoints")
	}
	var err error
	if r.net, err = r.makeNetwork(slices.Contains(cfg.Faults, Disk)); err != nil {
		return err
	}
	switch n := r.net.(type) {
	case *cages:
		skip(Slow, "network namespaces only lose packets; --network proxies delays them")
	default:
		skip(Disk, "a disk that can be filled needs root, Linux and --network namespaces ("+n.name()+" are used)")
	}
	args := slices.Clone(cfg.Args)
	if slices.Contains(cfg.Faults, Disk) {
		args = append(args, fmt.Sprintf("--disk-reserve=%d", diskReserve))
	}
	r.cluster, err = devcluster.Prepare(devcluster.Config{
		Binary: cfg.Binary, Dir: cfg.Dir, Nodes: cfg.Nodes, Cluster: "chaos", Args: args, NodeArgs: r.net.args,
		Env: r.environment, Log: r.log, Launcher: r.net.launcher(), Host: r.net.host, Routes: r.net.routes,
		Exited: func(n *devcluster.Node, state string) { r.exited(n.Index(), state, n.Tail()) },
	})
	if err != nil {
		r.net.close()
		return err
	}
	r.links, r.doors = newLinks(r.net), newDoors(r)
	return nil
}

// makeNetwork picks the network.
func (r *chaos) makeNetwork(disks bool) (network, error) {
	want := r.cfg.Network
	if want == "namespaces" || want == "" && (r.cfg.Nodes > 1 || disks) {
		dirs := make([]string, r.cfg.Nodes)
		for i := range dirs {
			dirs[i] = filepath.Join(r.cfg.Dir, devcluster.Name(i))
		}
		c, err := newCages(dirs, disks)
		if err == nil {
			return c, nil
		}
		if want != "" {
			return nil, err
		}
		r.skipped = append(r.skipped, fmt.Sprintf("namespaces: %v; proxies are used", err))
	}
	if want != "" && want != "namespaces" && want != "proxies" {
		return nil, fmt.Errorf("network %q: they are namespaces and proxies", want)
	}
	if r.cfg.Nodes == 1 {
		return plain{}, nil
	}
	return newProxies(r.cfg.Nodes)
}

// knowsClock reports whether nodes of this program shift their clock when they are told to.
func knowsClock(binary string) bool {
	out, err := exec.Command(binary, "version").Output()
	return err == nil && strings.Contains(string(out), "failpoints")
}

func (r *chaos) environment(node int) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if d := r.offsets[node]; d != 0 {
		return []string{fmt.Sprintf("%s=%s", clockEnv, d)}
	}
	return nil
}

// prepare makes the tables and waits until every node has them.
func (r *chaos) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, healWithin)
	defer cancel()
	s := r.session(0, 1)
	defer s.close()
	r.latest = r.knows(ctx, s, readLatest)
	if !r.latest {
		what := "registers are not tried"
		if r.cfg.Nodes == 1 {
			what = "plain reads are checked in its place" // on one node they are as good
		}
		r.skipped = append(r.skipped, "read = 'latest' is not known: "+what)
	}
	r.labels = r.cfg.Nodes > 1 && r.knows(ctx, s, r.setStaleness())
	if !r.labels {
		r.skipped = append(r.skipped, "labels of old reads: max_staleness is not known, or there is one node")
	}
	stmts := r.setupStatements()
	for _, sql := range stmts {
		if err := r.setupStatement(ctx, s, sql); err != nil {
			return fmt.Errorf("set up: %s: %w", sql, err)
		}
	}
	for i := range r.cluster.Nodes() {
		if err := r.sees(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// setupStatement tries again while nobody leads.
func (r *chaos) setupStatement(ctx context.Context, s *session, sql string) error {
	for {
		c, err := s.get(ctx)
		if err != nil {
			return err
		}
		if _, err = c.Exec(ctx, sql); err == nil || code(err) != "57P03" || ctx.Err() != nil {
			return err
		}
		pause(ctx, reconnectPause)
	}
}

// knows reports whether a setting is understood.
func (r *chaos) knows(ctx context.Context, s *session, set string) bool {
	c, err := s.get(ctx)
	if err != nil {
		return false
	}
	_, err = c.Exec(ctx, set)
	s.drop()
	return err == nil
}

func (r *chaos) setStaleness() string {
	return fmt.Sprintf("SET max_staleness = '%ds'", int(staleness.Seconds()))
}

// setupStatements are the schema and the first rows.
func (r *chaos) setupStatements() []string {
	if r.own != nil {
		return r.own.Setup
	}
	out := slices.Clone(schema)
	r.registers.rounds = int64(2*r.cfg.Duration/roundLength) + 50
	var rows []string
	for i := range accounts {
		rows = append(rows, fmt.Sprintf("(%d, %d)", i+1, startBalance))
	}
	out = append(out, "INSERT INTO chaos_accounts VALUES "+strings.Join(rows, ", "))
	rows = nil
	for i := range r.cluster.Nodes() {
		rows = append(rows, fmt.Sprintf("(%d, 0)", i+1))
	}
	return append(out, "INSERT INTO chaos_beats VALUES "+strings.Join(rows, ", "),
		fmt.Sprintf("INSERT INTO chaos_registers SELECT i, 0 FROM generate_series(0, %d) AS g(i)", r.registers.rounds*registersPerRound-1),
		fmt.Sprintf("CREATE SINK chaos_sink FROM chaos_clients WITH (connector = 'file', path = '%s')", r.sinkPath()), "FLUSH")
}

func (r *chaos) sinkPath() string { return filepath.Join(r.cfg.Dir, "sink.ndjson") }

// sees waits until a node has what was set up.
func (r *chaos) sees(ctx context.Context, node int) error {
	if r.own != nil {
		return nil // statements on relations that are not there yet fail and are run again
	}
	s := r.session(node, 2)
	s.fixed = true
	defer s.close()
	var last error
	for ctx.Err() == nil {
		c, err := s.get(ctx)
		if err != nil {
			break
		}
		rows, err := texts(ctx, c, "SELECT total, n FROM chaos_total")
		if err == nil && len(rows) == 1 && rows[0][1] == fmt.Sprint(accounts) {
			rows, err = texts(ctx, c, fmt.Sprintf("SELECT v FROM chaos_registers WHERE id = %d", r.registers.rounds*registersPerRound-1))
			if err == nil && len(rows) == 1 {
				return nil
			}
		}
		if last = err; err == nil {
			last = fmt.Errorf("it has %v", rows)
		}
		s.after(err)
		pause(ctx, reconnectPause)
	}
	return fmt.Errorf("node %s does not have the tables after %v: %w", r.cluster.Node(node).Name(), healWithin, last)
}

// run puts load and faults on the cluster, heals it and checks all.
func (r *chaos) run(ctx context.Context) (*Report, error) {
	schedule := Schedule(r.cfg.Seed, r.cfg.Nodes, r.cfg.Duration, r.cfg.Faults)
	r.log("%d faults in %v", len(schedule), r.cfg.Duration)
	r.start = time.Now()
	r.findings.clock = r.now
	load, stopLoad := context.WithTimeout(ctx, r.cfg.Duration)
	defer stopLoad()
	var clients, subs, aside sync.WaitGroup
	r.clients(load, &clients, &subs)
	asideCtx, stopAside := context.WithCancel(ctx)
	defer stopAside()
	aside.Go(func() { r.doors.look(asideCtx) })
	aside.Go(func() { r.faults(load, schedule) })
	clients.Wait()
	seconds := r.now().Seconds()
	if ctx.Err() != nil {
		stopAside()
		aside.Wait()
		subs.Wait()
		return nil, ctx.Err()
	}
	r.log("%6.1fs the load has ended; all nodes have to serve again", r.now().Seconds())
	began := time.Now()
	notHealed := r.heal(ctx)
	healSeconds := time.Since(began).Seconds()
	var err error
	var sinkRecords, ops, unchecked int
	if len(notHealed) == 0 {
		r.log("%6.1fs they do; checking", r.now().Seconds())
		if r.own != nil {
			err = r.own.check(ctx, r)
		} else {
			sinkRecords, err = r.check(ctx, &subs)
		}
		if err != nil {
			notHealed = append(notHealed, err.Error())
		}
	}
	stopAside()
	aside.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	ops, unchecked = r.registers.check(&r.findings)
	rep := r.report(seconds)
	rep.NotHealed, rep.HealSeconds = notHealed, healSeconds
	rep.SinkRecords, rep.RegisterOps, rep.RegistersUnchecked = sinkRecords, ops, unchecked
	return rep, nil
}

// clients starts everybody. clients end with load; subscribers when they have reached the goal.
func (r *chaos) clients(load context.Context, clients, subs *sync.WaitGroup) {
	if r.own != nil {
		r.own.start(load, r, clients)
		return
	}
	settings := []string{}
	if r.latest {
		settings = append(settings, readLatest)
	}
	watching := []string{}
	if r.labels {
		watching = append(watching, r.setStaleness())
	}
	for i := range r.cluster.Nodes() {
		id := uint64(100 * (i + 1))
		clients.Go(func() { r.insert(load, r.session(i, id), int64(i+1)) })
		clients.Go(func() { r.transfer(load, r.session(i, id+1)) })
		if r.latest || r.cfg.Nodes == 1 {
			clients.Go(func() { r.register(load, r.session(i, id+2, settings...)) })
		}
		clients.Go(func() { r.beat(load, r.session(i, id+3), int64(i+1)) })
		clients.Go(func() { r.post(load, i, int64(i+1)) })
		clients.Go(func() { r.watch(load, r.session(i, id+4, watching...)) })
	}
	for i := range followers {
		w := newFollower(fmt.Sprintf("subscriber %d", i+1))
		r.follow3 = append(r.follow3, w)
		subs.Go(func() { r.follow(r.whole, r.session(i, uint64(50+i)), w) })
	}
}

// report gathers what was counted.
func (r *chaos) report(seconds float64) *Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := &r.findings
	rep := &Report{
		Seed: r.cfg.Seed, Nodes: r.cfg.Nodes, Seconds: seconds, Network: r.net.name(), Kinds: r.cfg.Faults, Skipped: r.skipped,
		Lost: f.counts[lost], Duplicated: f.counts[duplicated], Wrong: f.counts[wrong], DigestMismatches: f.counts[mismatch],
		StaleReadsUnlabelled: f.counts[staleRead], StaleReadsLabelled: r.reads.labelled, StaleReadsRefused: r.reads.refused,
		Reads: r.reads.reads, Subscribers: len(r.follow3), SubscriptionsResumed: r.reads.resumed, SubscriptionsBegunAnew: r.reads.anew,
		UnexpectedExits: len(r.exits), Problems: append(slices.Clone(r.exits), r.doors.told()...),
		StaleSpans: r.spans, Faults: r.events, Findings: f.words, Work: map[string]Counts{}, Errors: r.tally.errors, ErrorSamples: r.tally.sample,
		Outages: map[string]Times{},
	}
	for kind, c := range r.tally.counts {
		rep.Work[kind] = *c
		if kind != "latest reads" {
			rep.Acked += c.Acked
			rep.Unknown += c.Unknown
			rep.Refused += c.Refused
		}
	}
	for fault, times := range r.recov.times {
		rep.Outages[fault] = timesOf(times)
	}
	rep.Recoveries = rep.Outages[killOfLeader]
	rep.Throughput = float64(rep.Acked) / seconds
	slices.SortFunc(rep.Faults, func(a, b Event) int {
		if a.AtSeconds < b.AtSeconds {
			return -1
		}
		return 1
	})
	if r.cfg.Keep {
		rep.Data = r.cfg.Dir
	}
	return rep
}
