package chaos

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// producers is the history of requests to a source over HTTP. Each producer numbers its
// requests from 1 and sends one again, to one node after the other, until it is answered: so each is
// there once, whatever happened to the answers.
type producers struct {
	mu    sync.Mutex
	acked map[int64]int64 // the last request that was answered, by producer
}

func (h *producers) ack(producer, seq int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.acked == nil {
		h.acked = map[int64]int64{}
	}
	h.acked[producer] = seq
}

// check compares the history with how often each request's row is there, as "producer|seq".
func (h *producers) check(rows []string, f *findings) {
	there := map[int64]map[int64]int{}
	for _, line := range rows {
		p, s, _ := strings.Cut(line, "|")
		producer := number(p)
		if there[producer] == nil {
			there[producer] = map[int64]int{}
		}
		there[producer][number(s)]++
	}
	for _, p := range sortedKeys(there) {
		for _, seq := range sortedKeys(there[p]) {
			if n := there[p][seq]; n > 1 {
				f.add(duplicated, "posts: request %d of producer %d is there %d times", seq, p, n)
			}
			if seq < 1 || seq > h.acked[p]+1 {
				f.add(wrong, "posts: request %d of producer %d is there; it had sent up to %d", seq, p, h.acked[p]+1)
			}
		}
	}
	for _, p := range sortedKeys(h.acked) {
		for seq := int64(1); seq <= h.acked[p]; seq++ {
			if there[p][seq] == 0 {
				f.add(lost, "posts: request %d of producer %d was answered and is not there", seq, p)
			}
		}
	}
}

// wrongPause is before a request is sent again that was answered as it must not be.
const wrongPause = time.Second

// post sends numbered requests.
func (r *chaos) post(ctx context.Context, node int, producer int64) {
	for seq := int64(1); ctx.Err() == nil; pause(ctx, pace) {
		begun := r.now()
		code, answer, err := r.postOnce(node, producer, seq)
		switch {
		case err == nil && code == http.StatusOK:
			r.producers.ack(producer, seq)
			r.noteWrite("posts", acked, 1, begun, nil)
			seq++
		case err == nil && (code == http.StatusConflict || code == http.StatusUnprocessableEntity):
			r.findings.add(wrong, "posts: request %d of producer %d on node %s, the one before was answered: %d %s", seq, producer, r.cluster.Node(node).Name(), code, strings.TrimSpace(answer))
			node = (node + 1) % r.cluster.Nodes()
			pause(ctx, wrongPause)
		default:
			if err == nil {
				err = fmt.Errorf("%d %.200s", code, answer)
			}
			r.tally.note("posts", unknown, 1, httpError{err})
			node = (node + 1) % r.cluster.Nodes()
			pause(ctx, reconnectPause)
		}
	}
}

// httpError is what went wrong with a request.
type httpError struct{ error }

func (e httpError) Unwrap() error { return e.error }

func (r *chaos) postOnce(node int, producer, seq int64) (code int, answer string, err error) {
	ctx, cancel := context.WithTimeout(r.whole, opTimeout)
	defer cancel()
	body := strings.NewReader(fmt.Sprintf("{\"producer\":%d,\"seq\":%d}\n", producer, seq))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+r.cluster.Node(node).HTTP()+"/v1/sources/chaos_posts", body)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Tidemill-Producer", "chaos-"+strconv.FormatInt(producer, 10))
	req.Header.Set("Tidemill-Sequence", strconv.FormatInt(seq, 10))
	resp, err := r.doors.transport(node).RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxStatusBytes))
	return resp.StatusCode, string(text), err
}
