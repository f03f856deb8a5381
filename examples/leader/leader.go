// Leader runs work on one of the machines that start it: on the one that holds a lock.
//
//	go run ./examples/leader -url http://127.0.0.1:8433 -lock nightly -name "$(hostname)"
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"time"
)

const (
	ttl   = 10 * time.Second // after so long without a word of us another may lead
	renew = ttl / 4          // how often we say that we are there, and how long that may take
	wait  = time.Minute      // a request waits so long for the lock
)

func main() {
	base := flag.String("url", "http://127.0.0.1:8433", "HTTP address of a node")
	lock := flag.String("lock", "nightly", "name of the lock")
	name := flag.String("name", "me", "who we are")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	Campaign(ctx, *base, *lock, *name, func(ctx context.Context, token int64) {
		log.Printf("leading with token %d", token)
		<-ctx.Done() // here goes the work; it ends when ctx does, and hands token to whatever it writes to
		log.Print("no longer leading")
	})
}

// Campaign calls lead whenever name holds the lock, and waits for the next time when lead returns, until ctx ends. The
// context of lead ends when the lock may be somebody else's.
func Campaign(ctx context.Context, base, lock, name string, lead func(ctx context.Context, token int64)) {
	at := base + "/v1/locks/" + url.PathEscape(lock)
	for ctx.Err() == nil {
		token, err := send(ctx, "POST", at, map[string]any{"owner": name, "ttl_ms": ttl.Milliseconds(), "wait_ms": wait.Milliseconds()})
		if err != nil { // somebody else leads, or there is no node: another may be there in a moment
			sleep(ctx, time.Second)
			continue
		}
		asked := time.Now() // the lock is ours from some time before to ttl after this, if it can be renewed
		if !renewed(ctx, at, token) {
			continue
		}
		leading, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() { defer close(done); lead(leading, token) }()
		for over := false; !over; {
			select {
			case <-done:
				over = true
			case <-time.After(renew):
				now := time.Now()
				if renewed(leading, at, token) {
					asked = now
				} else if time.Since(asked) > ttl-2*renew {
					over = true // another try could end after it has expired
				}
			}
		}
		stop()
		<-done
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), renew)
		_, _ = send(bye, "DELETE", fmt.Sprintf("%s?token=%d", at, token), nil)
		cancel()
	}
}

// renewed reports whether the lock is ours for another time to live, from before the call.
func renewed(ctx context.Context, at string, token int64) bool {
	ctx, cancel := context.WithTimeout(ctx, renew)
	defer cancel()
	_, err := send(ctx, "PUT", at, map[string]any{"token": token, "ttl_ms": ttl.Milliseconds()})
	return err == nil
}

// send sends a request and returns the token of the answer.
func send(ctx context.Context, method, at string, body any) (token int64, err error) {
	text, err := json.Marshal(body)
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, method, at, bytes.NewReader(text))
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var answer struct{ Token int64 }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s %s: %s %v", method, at, resp.Status, err)
	}
	return answer.Token, nil
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
