package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/tidemill/tidemill/internal/ckpt"
	"github.com/tidemill/tidemill/internal/engine"
	"github.com/tidemill/tidemill/internal/fabric"
)

// A node whose own checkpoints do not reach the log any more, or that is new, takes the
// newest checkpoint of the node that leads: file by file, each named by its content, so
// what is there already is not sent again. The leader holds it meanwhile.

const (
	// fetchPart is how much of a file one request brings.
	fetchPart = 1 << 20
	// fetchRate is how many bytes a second a node fetches at most, so that the leader's
	// steps have room beside it.
	fetchRate = 200 << 20
	// fetchIdle is when a checkpoint that nobody reads from is let go.
	fetchIdle = time.Minute
	// maxFetches bounds the checkpoints that are held for others.
	maxFetches = 16
	// openPause comes between two attempts to open the pipeline while others are not there.
	openPause = 500 * time.Millisecond
)

// fetchFile is a file of a held checkpoint.
type fetchFile struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
}

// fetchList is what a node that leads answers who wants its checkpoint.
type fetchList struct {
	Token uint64      `json:"token"`
	Step  uint64      `json:"step"`
	Files []fetchFile `json:"files"`
}

// fetchRequest asks for a list (no token), a part of a file, or with Done the end.
type fetchRequest struct {
	Token  uint64 `json:"token,omitempty"`
	Name   string `json:"name,omitempty"`
	Offset int64  `json:"offset,omitempty"`
	Done   bool   `json:"done,omitempty"`
}

// fetches are the checkpoints that are held for other nodes.
type fetches struct {
	mu   sync.Mutex
	next uint64
	held map[uint64]*fetching
}

type fetching struct {
	held  *engine.Held
	files map[string]bool
	idle  *time.Timer
}

// serve answers one request.
func (f *fetches) serve(ctx context.Context, e *engine.Engine, data []byte) ([]byte, error) {
	var req fetchRequest
	if err := json.Unmarshal(data, &req); err != nil {
		return nil, fmt.Errorf("request for a checkpoint: %w", err)
	}
	if req.Token == 0 {
		return f.open(ctx, e)
	}
	f.mu.Lock()
	x := f.held[req.Token]
	f.mu.Unlock()
	switch {
	case x == nil:
		return nil, fmt.Errorf("checkpoint %d is not held any more", req.Token)
	case req.Done:
		f.release(req.Token)
		return nil, nil
	case !x.files[req.Name]:
		return nil, fmt.Errorf("the checkpoint has no file %q", req.Name)
	}
	x.idle.Reset(fetchIdle)
	file, err := x.held.Files.Open(req.Name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	part := make([]byte, fetchPart)
	n, err := file.ReadAt(part, req.Offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return part[:n], nil
}

// serveCheckpoint answers a node that wants this one's checkpoint.
func (c *cluster) serveCheckpoint(ctx context.Context, req []byte) ([]byte, error) {
	e := c.n.pipeline.running()
	if e == nil {
		return nil, engine.ErrNotLeader
	}
	return c.fetches.serve(ctx, e, req)
}

// open makes a checkpoint and holds it.
func (f *fetches) open(ctx context.Context, e *engine.Engine) ([]byte, error) {
	f.mu.Lock()
	many := len(f.held) >= maxFetches
	f.mu.Unlock()
	if many {
		return nil, fmt.Errorf("%d nodes fetch checkpoints already", maxFetches)
	}
	held, err := e.Hold(ctx)
	if err != nil {
		return nil, err
	}
	x := &fetching{held: held, files: map[string]bool{}}
	list := fetchList{Step: held.Step}
	for _, p := range held.Manifest.Packs {
		list.Files = append(list.Files, fetchFile{Name: p.FileName(), Bytes: p.SizeBytes})
	}
	name := held.Manifest.FileName(held.Hash)
	size, err := fileSize(held.Files, name)
	if err != nil {
		held.Release()
		return nil, err
	}
	list.Files = append(list.Files, fetchFile{Name: name, Bytes: size}) // last: with it the checkpoint is there
	for _, file := range list.Files {
		x.files[file.Name] = true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next++
	list.Token = f.next
	token := f.next
	x.idle = time.AfterFunc(fetchIdle, func() { f.release(token) })
	if f.held == nil {
		f.held = map[uint64]*fetching{}
	}
	f.held[token] = x
	return json.Marshal(list)
}

func (f *fetches) release(token uint64) {
	f.mu.Lock()
	x := f.held[token]
	delete(f.held, token)
	f.mu.Unlock()
	if x != nil {
		x.idle.Stop()
		x.held.Release()
	}
}

func fileSize(files ckpt.FS, name string) (int64, error) {
	file, err := files.Open(name)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	return file.Size()
}

// fetch brings the newest checkpoint of the node that leads. What is here already stays.
func (c *cluster) fetch(ctx context.Context, pipeline string) error {
	node, _, ok := c.members.leader(pipeline)
	if !ok || node == c.cfg.Node {
		return engine.ErrNoLeader
	}
	subject := nodeSubject(node, "checkpoint."+pipeline)
	var list fetchList
	if err := c.ask(ctx, subject, fetchRequest{}, &list); err != nil {
		return fmt.Errorf("fetch a checkpoint of node %s: %w", node, err)
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = c.ask(end, subject, fetchRequest{Token: list.Token, Done: true}, nil) // it idles out else
	}()
	began, bytes := time.Now(), int64(0)
	for _, dir := range []string{"packs", "manifests"} {
		if err := c.n.files.MkdirAll(dir); err != nil {
			return err
		}
	}
	for _, f := range list.Files {
		if size, err := fileSize(c.n.files, f.Name); err == nil && size == f.Bytes {
			continue
		}
		if err := c.fetchFile(ctx, subject, list.Token, f); err != nil {
			return fmt.Errorf("fetch %s of node %s: %w", f.Name, node, err)
		}
		bytes += f.Bytes
	}
	c.n.cfg.Logf("fetched the checkpoint of step %d from node %s: %d bytes in %v", list.Step, node, bytes, time.Since(began).Round(time.Millisecond))
	return nil
}

// ask sends a request as JSON and reads the answer into to, if that is not nil.
func (c *cluster) ask(ctx context.Context, subject string, req, to any) error {
	data, err := json.Marshal(req)
	if err != nil {
		return err
	}
	resp, err := c.n.fabric.Request(ctx, subject, data)
	if err != nil || to == nil {
		return err
	}
	return json.Unmarshal(resp, to)
}

// fetchFile brings one file and checks it against its name, which ends in the hash of its
// content.
func (c *cluster) fetchFile(ctx context.Context, subject string, token uint64, f fetchFile) (err error) {
	files := c.n.files
	tmp := f.Name + ".tmp"
	if err := files.Remove(tmp); err != nil {
		return err
	}
	to, err := files.Create(tmp)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := to.Close(); err == nil {
			err = cerr
		}
		if err == nil {
			err = files.Rename(tmp, f.Name)
		}
		if err == nil {
			err = files.SyncDir(path.Dir(f.Name))
		}
		if err != nil {
			_ = files.Remove(tmp)
		}
	}()
	sum := sha256.New()
	for at := int64(0); at < f.Bytes; {
		began := time.Now()
		data, err := json.Marshal(fetchRequest{Token: token, Name: f.Name, Offset: at})
		if err != nil {
			return err
		}
		part, err := c.n.fabric.Request(ctx, subject, data)
		if err != nil {
			return err
		}
		if len(part) == 0 {
			return fmt.Errorf("it ends at %d of %d bytes", at, f.Bytes)
		}
		sum.Write(part)
		if _, err := to.Write(part); err != nil {
			return err
		}
		at += int64(len(part))
		if wait := time.Duration(len(part))*time.Second/fetchRate - time.Since(began); wait > 0 && !sleep(ctx, wait) {
			return ctx.Err()
		}
	}
	if got := hex.EncodeToString(sum.Sum(nil)); !strings.Contains(path.Base(f.Name), got) {
		return fmt.Errorf("its content has the hash %s", got)
	}
	return to.Sync()
}

// open opens the pipeline as a standby, however long it takes until there are enough nodes.
func (c *cluster) open(ctx context.Context) (*engine.Engine, error) {
	said := time.Time{}
	if have, err := c.n.files.List("manifests"); err == nil && len(have) == 0 {
		if err := c.fetch(ctx, Database); err != nil && !errors.Is(err, engine.ErrNoLeader) && ctx.Err() == nil {
			c.n.cfg.Logf("%v", err) // the log may be there from its start
		}
	}
	for {
		e, err := c.n.openPipeline(ctx)
		if err == nil || ctx.Err() != nil {
			return e, err
		}
		switch {
		case errors.Is(err, engine.ErrNeedsCheckpoint): // the log begins behind what is here
			if ferr := c.fetch(ctx, Database); ferr != nil {
				err = errors.Join(err, ferr)
			} else {
				continue
			}
		case errors.Is(err, fabric.ErrUnavailable), errors.Is(err, fabric.ErrUnknown), errors.Is(err, context.DeadlineExceeded):
		default:
			return nil, err
		}
		if time.Since(said) > waitNotice {
			said = time.Now()
			c.n.cfg.Logf("the pipeline cannot be opened yet: %v", err)
		}
		if !sleep(ctx, openPause) {
			return nil, ctx.Err()
		}
	}
}
