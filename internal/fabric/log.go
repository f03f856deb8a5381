package fabric

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// MaxBatchRecords bounds the records of one atomic append; the server's own limit.
	MaxBatchRecords = 1000
	// MaxRecordBytes bounds one record; the rest of a message is for headers.
	MaxRecordBytes = MaxPayloadBytes - 64<<10
	// MaxBatchBytes bounds the records of one atomic append together.
	MaxBatchBytes = 64 << 20
	// MaxLogNameBytes bounds the name of a log.
	MaxLogNameBytes = 64

	streamPrefix  = "TM_"
	subjectPrefix = "_tm.log."
	metaName      = "tidemill.log"
)

// LogConfig says how a log is stored.
type LogConfig struct {
	// Replicas is how many nodes keep a copy. Zero: 1; in a cluster, of a log that is made, as many as Cluster.Replicas
	// says and nodes are online, see RaiseReplicas.
	Replicas int
	// MaxBytes bounds the log on disk; an append beyond it is refused with ErrNoSpace, nothing old is dropped.
	// Zero: no bound but the node's.
	MaxBytes int64
	// FirstSeq is the sequence of the first record of a log that is made. Zero: 1.
	FirstSeq uint64
}

// Record is one record of a log.
type Record struct {
	Seq  uint64    // position in the log, from 1, contiguous
	Time time.Time // when the server took it; a hint, never truth
	Data []byte    // owned by whoever receives the record

	writer string // which Appender wrote it; empty for other appends
}

// Log is a durable sequence of records, numbered from 1 without holes. Appends are fenced by the last sequence the
// writer knows, so of two writers at most one gets each position. A Log holds no resources of its own.
type Log struct {
	f        *Fabric
	name     string
	stream   string // name of the stream
	subject  string // subject of appends other than an Appender's
	replicas int
	handle   jetstream.Stream
}

// OpenLog opens the log of that name, creating it if it is not there. Names are case-sensitive, but two that differ in
// case alone must not be used on file systems that fold case. An existing log is never weakened: replicas and bounds
// are raised to what cfg asks for and otherwise left as they are. Returns ErrDamaged when the log's directory is there
// but the server could not read it.
func (f *Fabric) OpenLog(ctx context.Context, name string, cfg LogConfig) (*Log, error) {
	if name == "" || len(name) > MaxLogNameBytes {
		return nil, fmt.Errorf("open log %q: name has %d bytes, want 1 to %d", name, len(name), MaxLogNameBytes)
	}
	log := &Log{f: f, name: name, stream: streamPrefix + escapeName(name), subject: subjectPrefix + escapeName(name)}
	var handle jetstream.Stream
	err := f.settle(ctx, func(ctx context.Context) (err error) {
		handle, err = f.js.Stream(ctx, log.stream)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			handle, err = log.create(ctx, cfg)
		} else if err == nil {
			handle, err = log.raise(ctx, handle, cfg)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open log %q: %w", name, f.orClosed(err))
	}
	log.handle, log.replicas = handle, handle.CachedInfo().Config.Replicas
	return log, nil
}

func (l *Log) create(ctx context.Context, cfg LogConfig) (jetstream.Stream, error) {
	if err := l.f.makeRoom(l.stream); err != nil {
		return nil, err
	}
	replicas := cfg.Replicas
	if replicas <= 0 {
		replicas = l.f.copies()
	}
	return l.f.createStream(ctx, jetstream.StreamConfig{
		Name:     l.stream,
		Subjects: []string{l.subject, l.subject + ".*"},
		Storage:  jetstream.FileStorage,
		Replicas: replicas,
		MaxBytes: orUnlimited(cfg.MaxBytes),
		MaxMsgs:  -1, MaxMsgsPerSubject: -1,
		FirstSeq:           cfg.FirstSeq,
		MaxMsgSize:         MaxPayloadBytes,
		Discard:            jetstream.DiscardNew,
		Retention:          jetstream.LimitsPolicy,
		DenyDelete:         true,
		AllowAtomicPublish: true,
		Metadata:           map[string]string{metaName: l.name},
	})
}

// makeRoom makes sure that no directory is in the way of a stream that the server does not know. In a cluster the
// consensus of the nodes says which streams there are; what this node has on disk beside them is about to be removed or
// is being made, and the server deals with it.
func (f *Fabric) makeRoom(stream string) error {
	if f.cluster != nil {
		return nil
	}
	dir := f.internalStreamDir(stream)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if f.storeStopped() {
		return fmt.Errorf("%w: the store is closed", ErrUnavailable)
	}
	unborn, err := unborn(dir)
	if err != nil {
		return err
	}
	if !unborn {
		return fmt.Errorf("%w: %s is there but the server could not read it", ErrDamaged, dir)
	}
	return os.RemoveAll(dir)
}

// unborn reports whether a stream's directory is what is left of a process that died while
// the server was making the stream: it has no settings, which are written last, and has
// never held a record.
func unborn(dir string) (bool, error) {
	settings := 0
	for _, name := range []string{"meta.inf", "meta.sum"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err == nil && info.Size() > 0 {
			settings++
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	if settings == 2 {
		return false, nil
	}
	blocks, err := os.ReadDir(filepath.Join(dir, "msgs"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	for _, b := range blocks { // and an index, which says nothing of its own
		if !strings.HasSuffix(b.Name(), ".blk") {
			continue
		}
		info, err := b.Info()
		if err != nil || info.Size() > 0 {
			return false, err
		}
	}
	return true, nil
}

// raise makes an existing stream at least as strong as cfg asks for.
func (l *Log) raise(ctx context.Context, handle jetstream.Stream, cfg LogConfig) (jetstream.Stream, error) {
	have := handle.CachedInfo().Config
	if have.Storage != jetstream.FileStorage || have.Retention != jetstream.LimitsPolicy || have.MaxAge != 0 || have.NoAck {
		return nil, fmt.Errorf("%w: stream %s has settings that no log has", ErrDamaged, l.stream)
	}
	want := have
	want.Replicas = max(have.Replicas, cfg.Replicas)
	if bound := orUnlimited(cfg.MaxBytes); have.MaxBytes > 0 && (bound < 0 || bound > have.MaxBytes) {
		want.MaxBytes = bound
	}
	want.MaxMsgSize = max(have.MaxMsgSize, MaxPayloadBytes)
	want.AllowAtomicPublish, want.Discard = true, jetstream.DiscardNew
	if want.Replicas == have.Replicas && want.MaxBytes == have.MaxBytes && want.MaxMsgSize == have.MaxMsgSize &&
		have.AllowAtomicPublish && have.Discard == jetstream.DiscardNew {
		return handle, nil
	}
	return l.f.js.UpdateStream(ctx, want)
}

func orUnlimited(bound int64) int64 {
	if bound <= 0 {
		return -1
	}
	return bound
}

// escapeName writes name with letters, digits, '_' and '-' as they are and every other byte as '=' and two hex digits:
// a part of a stream name, a subject token and a file name alike.
func escapeName(name string) string {
	const digits = "0123456789abcdef"
	var out strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
			out.WriteByte(c)
		default:
			out.WriteByte('=')
			out.WriteByte(digits[c>>4])
			out.WriteByte(digits[c&15])
		}
	}
	return out.String()
}

// unescapeName is the inverse of escapeName; false if no name is written so.
func unescapeName(text string) (string, bool) {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '=' {
			out.WriteByte(text[i])
			continue
		}
		if i+3 > len(text) {
			return "", false
		}
		v, err := strconv.ParseUint(text[i+1:i+3], 16, 8)
		if err != nil {
			return "", false
		}
		out.WriteByte(byte(v))
		i += 2
	}
	return out.String(), escapeName(out.String()) == text
}

// LogNames returns the names of all logs, in order of name.
func (f *Fabric) LogNames(ctx context.Context) ([]string, error) {
	streams, err := f.ownStreams(ctx)
	if err != nil {
		return nil, fmt.Errorf("list logs: %w", err)
	}
	var names []string
	for _, stream := range streams {
		if text, ok := strings.CutPrefix(stream, streamPrefix); ok {
			if name, ok := unescapeName(text); ok {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names, nil
}

// replicated reports whether the log's writes go through the consensus of several nodes, now or as soon as others come.
func (l *Log) replicated() bool { return l.replicas > 1 || l.f.cluster != nil }

// Name returns the name the log was opened with.
func (l *Log) Name() string { return l.name }

// Append appends recs atomically, all or none, if the log's last sequence is expectLast (0: the log never had a
// record), and returns the sequence of the last of them as the server acknowledged it, after a sync. The records may be
// reused when Append returns. Errors: ErrWrongSequence, ErrTooLarge, ErrNoSpace, ErrUnavailable, ErrClosed: nothing was
// appended; ErrUnknown: see there. When ctx ends after the last record was sent the error is ErrUnknown too.
//
// Cost: one record is one synced write. Two or more cost the server a staging store on disk besides, which is made and
// removed for each batch and takes some 15 times as long as a small record: what fits into one record belongs there.
func (l *Log) Append(ctx context.Context, recs [][]byte, expectLast uint64) (uint64, error) {
	if err := checkBatch(recs); err != nil {
		return 0, fmt.Errorf("append to log %q: %w", l.name, err)
	}
	ctx, cancel := l.f.withTimeout(ctx)
	defer cancel()
	last, err := l.append(ctx, recs, &expectLast)
	if err == nil && last != expectLast+uint64(len(recs)) {
		err = unknown(fmt.Errorf("%w: server acknowledged sequence %d for %d records after %d",
			ErrDamaged, last, len(recs), expectLast))
	}
	if err != nil {
		return 0, fmt.Errorf("append %d records to log %q after %d: %w", len(recs), l.name, expectLast, err)
	}
	return last, nil
}

// AppendNext appends one record wherever the log ends and returns its sequence. It is not fenced: after ErrUnknown a
// second try may store the record twice. Writers that must not do that use Append or an Appender.
func (l *Log) AppendNext(ctx context.Context, rec []byte) (uint64, error) {
	recs := [][]byte{rec}
	if err := checkBatch(recs); err != nil {
		return 0, fmt.Errorf("append to log %q: %w", l.name, err)
	}
	ctx, cancel := l.f.withTimeout(ctx)
	defer cancel()
	last, err := l.append(ctx, recs, nil)
	if err != nil {
		return 0, fmt.Errorf("append to log %q: %w", l.name, err)
	}
	return last, nil
}

func checkBatch(recs [][]byte) error {
	if len(recs) == 0 {
		return errors.New("no records")
	}
	if len(recs) > MaxBatchRecords {
		return fmt.Errorf("%w: %d records, at most %d", ErrTooLarge, len(recs), MaxBatchRecords)
	}
	sizeBytes := 0
	for i, rec := range recs {
		if len(rec) > MaxRecordBytes {
			return fmt.Errorf("%w: record %d has %d bytes, at most %d", ErrTooLarge, i, len(rec), MaxRecordBytes)
		}
		sizeBytes += len(rec)
	}
	if sizeBytes > MaxBatchBytes {
		return fmt.Errorf("%w: records have %d bytes together, at most %d", ErrTooLarge, sizeBytes, MaxBatchBytes)
	}
	return nil
}

// append sends recs, fenced unless expectLast is nil, and waits for the acknowledgement.
func (l *Log) append(ctx context.Context, recs [][]byte, expectLast *uint64) (uint64, error) {
	if l.f.closing.Load() {
		return 0, ErrClosed
	}
	if fault := l.f.faults.BeforeAppend; fault != nil {
		expect := uint64(0)
		if expectLast != nil {
			expect = *expectLast
		}
		if err := fault(l.name, expect); err != nil {
			return 0, unknown(err)
		}
	}
	reply, err := l.send(ctx, recs, expectLast)
	if err != nil {
		return 0, err
	}
	ack, err := parseAck(reply.Data)
	if err != nil {
		return 0, unknown(err)
	}
	if ack.Error != nil {
		expect := uint64(0)
		if expectLast != nil {
			expect = *expectLast
		}
		return 0, l.refusal(ctx, ack.Error, expect)
	}
	if fault := l.f.faults.AfterAppend; fault != nil {
		if err := fault(l.name, ack.Seq); err != nil {
			return 0, unknown(err)
		}
	}
	return ack.Seq, nil
}

// send publishes all records; the last one asks for the answer. Nothing is stored before the last one is received.
func (l *Log) send(ctx context.Context, recs [][]byte, expectLast *uint64) (*nats.Msg, error) {
	batchID := ""
	if len(recs) > 1 {
		batchID = l.f.nextID()
	}
	for i, rec := range recs {
		msg := &nats.Msg{Subject: l.subject, Data: rec, Header: batchHeader(batchID, i+1, i == len(recs)-1)}
		if i == 0 && expectLast != nil {
			msg.Header[jetstream.ExpectedLastSeqHeader] = []string{formatUint(*expectLast)}
		}
		if i == len(recs)-1 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			reply, err := l.f.request(ctx, msg, l.f.term(l.stream))
			return reply, l.f.sendError(err)
		}
		if err := l.f.internal.PublishMsg(msg); err != nil {
			return nil, l.f.orClosed(fmt.Errorf("%w: %w", ErrUnavailable, err))
		}
	}
	panic("unreachable: checkBatch refuses an empty batch")
}

// request sends msg and waits for the answer, but not on when the connection breaks or the leader's term ends.
func (f *Fabric) request(ctx context.Context, msg *nats.Msg, term context.Context) (*nats.Msg, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(f.currentLink(), func() { cancel(errRelinked) })()
	defer context.AfterFunc(term, func() { cancel(errElected) })()
	reply, err := f.internal.RequestMsgWithContext(ctx, msg)
	if cause := context.Cause(ctx); err != nil && (errors.Is(cause, errRelinked) || errors.Is(cause, errElected)) {
		err = cause
	}
	return reply, err
}

// batchHeader returns the header of the pos-th record, from 1, of a batch, or of a lone record if batchID is empty.
func batchHeader(batchID string, pos int, last bool) nats.Header {
	header := make(nats.Header, 4)
	if batchID == "" {
		return header
	}
	header["Nats-Batch-Id"] = []string{batchID}
	header["Nats-Batch-Sequence"] = []string{formatUint(uint64(pos))}
	if last {
		header["Nats-Batch-Commit"] = []string{"1"}
	}
	return header
}

// sendError says what an error of the request that commits means for its outcome.
func (f *Fabric) sendError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrNoResponders):
		return f.orClosed(fmt.Errorf("%w: %w", ErrUnavailable, err)) // the server says that nobody received it
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	return unknown(err)
}

// info asks the log's leader.
func (l *Log) info(ctx context.Context) (info *jetstream.StreamInfo, err error) {
	err = l.f.ask(ctx, func(ctx context.Context) error {
		info, err = l.handle.Info(ctx)
		return err
	})
	if err != nil {
		return nil, l.f.orClosed(notFound(err))
	}
	return info, nil
}

// Bounds returns the first and last sequence. An empty log has last = first-1; a log that never had a record 1, 0.
// They are the word of the node that leads the log, and a hint: by the time the caller looks there may be more.
func (l *Log) Bounds(ctx context.Context) (first, last uint64, err error) {
	info, err := l.info(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("bounds of log %q: %w", l.name, err)
	}
	first, last = info.State.FirstSeq, info.State.LastSeq
	if first == 0 {
		first = last + 1
	}
	return first, last, nil
}

// SizeBytes returns what the log takes on disk.
func (l *Log) SizeBytes(ctx context.Context) (uint64, error) {
	info, err := l.info(ctx)
	if err != nil {
		return 0, fmt.Errorf("size of log %q: %w", l.name, err)
	}
	return info.State.Bytes, nil
}

// Get returns one record, from the node that leads the log. Returns ErrNotFound if it is not there.
func (l *Log) Get(ctx context.Context, seq uint64) (Record, error) {
	var msg *jetstream.RawStreamMsg
	err := l.f.ask(ctx, func(ctx context.Context) (err error) {
		msg, err = l.handle.GetMsg(ctx, seq)
		return err
	})
	if err != nil {
		return Record{}, fmt.Errorf("get record %d of log %q: %w", seq, l.name, l.f.orClosed(notFound(err)))
	}
	return Record{Seq: msg.Sequence, Time: msg.Time, Data: msg.Data, writer: msg.Header.Get(writerHeader)}, nil
}

// Trim removes every record below the given sequence, for good. The last record always stays, so that the log keeps
// its place whatever happens to its index.
func (l *Log) Trim(ctx context.Context, below uint64) error {
	_, last, err := l.Bounds(ctx)
	if err != nil {
		return fmt.Errorf("trim log %q below %d: %w", l.name, below, err)
	}
	if below = min(below, last); below <= 1 {
		return nil
	}
	err = l.f.settle(ctx, func(ctx context.Context) error {
		return l.handle.Purge(ctx, jetstream.WithPurgeSequence(below))
	})
	if err != nil {
		return fmt.Errorf("trim log %q below %d: %w", l.name, below, l.f.orClosed(notFound(err)))
	}
	return nil
}

// Delete removes the log and all its records, for good. Returns ErrNotFound if it is gone already.
func (l *Log) Delete(ctx context.Context) error {
	tries := 0
	err := l.f.settle(ctx, func(ctx context.Context) error {
		err := l.f.js.DeleteStream(ctx, l.stream)
		if tries++; tries > 1 && errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil // by the try before, whose answer was lost
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("delete log %q: %w", l.name, l.f.orClosed(notFound(err)))
	}
	return nil
}

// notFound maps the library's words for it to ErrNotFound.
func notFound(err error) error {
	if errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}
