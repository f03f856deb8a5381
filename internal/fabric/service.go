package fabric

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// MaxServices bounds the endpoints of all instances that a list has.
	MaxServices = 10_000
	// MaxServiceBytes bounds a request to a service, with its header.
	MaxServiceBytes = MaxPayloadBytes - 64<<10
	// discoverFor bounds the wait for services to say that they are there; it ends before when, after the first one,
	// none did for discoverQuiet.
	discoverFor   = 500 * time.Millisecond
	discoverQuiet = 150 * time.Millisecond
	// servicesLife is for how long a list is good, and calledLife for how long it tells where to call: if nobody is
	// there any more, that is noticed.
	servicesLife = time.Second
	calledLife   = 30 * time.Second
	// maxServiceText bounds names, subjects and versions of services; what says more of itself is left out.
	maxServiceText = 256

	statsSubject = "$SRV.STATS"
	statsType    = "io.nats.micro.v1.stats_response"
	errorHeader  = "Nats-Service-Error"
	codeHeader   = "Nats-Service-Error-Code"
)

// ErrNoService: no service of that name, or none that has such an endpoint, is there; nothing happened.
var ErrNoService = errors.New("no such service")

// Service is an endpoint of an instance of a service that clients have registered by the micro protocol of NATS.
type Service struct {
	Name, ID, Version string
	Endpoint, Subject string
	Node              string // what its metadata say under node, address or host; "": nothing
	Started           time.Time
	Requests, Errors  int64
	Average           time.Duration // of the processing of a request
}

// ServiceError is the error that a service answered with.
type ServiceError struct {
	Service, Code, Text string
}

func (e *ServiceError) Error() string {
	return fmt.Sprintf("service %q: %s (code %s)", e.Service, e.Text, e.Code)
}

// services remembers who was there.
type services struct {
	mu    sync.Mutex
	list  []Service
	at    time.Time     // when the question was asked; zero: never
	under chan struct{} // closed when the question that is under way is answered; nil: none is
}

// Services lists the endpoints of all instances of services, as they said themselves not longer than servicesLife ago,
// in the order of names, endpoints and instances. The list is not to be changed.
func (f *Fabric) Services(ctx context.Context) ([]Service, error) {
	list, err := f.knownServices(ctx, time.Now().Add(-servicesLife))
	if err != nil {
		return nil, fmt.Errorf("list services: %w", f.orClosed(err))
	}
	return list, nil
}

// knownServices lists services by a question that was asked after the given time. Those who come at the same time
// share one.
func (f *Fabric) knownServices(ctx context.Context, after time.Time) ([]Service, error) {
	s := &f.services
	for {
		s.mu.Lock()
		if s.at.After(after) {
			defer s.mu.Unlock()
			return s.list, nil
		}
		under := s.under
		if under == nil {
			s.under = make(chan struct{})
			s.mu.Unlock()
			return f.learnServices(ctx)
		}
		s.mu.Unlock()
		select {
		case <-under:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-f.closed:
			return nil, ErrClosed
		}
	}
}

// learnServices asks, and tells those who wait for it.
func (f *Fabric) learnServices(ctx context.Context) ([]Service, error) {
	at := time.Now()
	list, err := f.discover(ctx)
	s := &f.services
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.under)
	s.under = nil
	if err == nil {
		s.list, s.at = list, at
	}
	return list, err
}

// discover asks all services who they are.
func (f *Fabric) discover(ctx context.Context) ([]Service, error) {
	inbox := f.clients.NewInbox()
	sub, err := f.clients.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer sub.Unsubscribe()
	if err := errors.Join(sub.SetPendingLimits(MaxServices, MaxQueueBytes), f.clients.PublishRequest(statsSubject, inbox, nil)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	end, wait := time.Now().Add(discoverFor), discoverFor
	out := []Service{}
	for wait > 0 && len(out) < MaxServices {
		try, cancel := context.WithTimeout(ctx, wait)
		msg, err := sub.NextMsgWithContext(try)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrNoResponders):
			wait = 0
			continue
		case err != nil:
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		out = append(out, servicesOf(msg.Data)...)
		wait = min(time.Until(end), discoverQuiet)
	}
	slices.SortFunc(out, func(a, b Service) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Endpoint, b.Endpoint), strings.Compare(a.ID, b.ID), strings.Compare(a.Subject, b.Subject))
	})
	return out[:min(len(out), MaxServices)], nil
}

// servicesOf reads what an instance says of itself; nothing if it makes no sense.
func servicesOf(data []byte) []Service {
	var stats struct {
		Type      string            `json:"type"`
		Name      string            `json:"name"`
		ID        string            `json:"id"`
		Version   string            `json:"version"`
		Metadata  map[string]string `json:"metadata"`
		Started   time.Time         `json:"started"`
		Endpoints []struct {
			Name     string        `json:"name"`
			Subject  string        `json:"subject"`
			Requests int64         `json:"num_requests"`
			Errors   int64         `json:"num_errors"`
			Average  time.Duration `json:"average_processing_time"`
		} `json:"endpoints"`
	}
	if json.Unmarshal(data, &stats) != nil || stats.Type != statsType {
		return nil
	}
	s := Service{Name: stats.Name, ID: stats.ID, Version: stats.Version, Started: stats.Started, Node: cmp.Or(stats.Metadata["node"], stats.Metadata["address"], stats.Metadata["host"])}
	if s.Name == "" || !plain(s.Name, s.ID, s.Version, s.Node) {
		return nil
	}
	var out []Service
	for _, e := range stats.Endpoints {
		if e.Subject == "" || !plain(e.Name, e.Subject) {
			continue
		}
		s.Endpoint, s.Subject, s.Requests, s.Errors, s.Average = e.Name, e.Subject, e.Requests, e.Errors, e.Average
		out = append(out, s)
	}
	return out
}

// plain reports whether texts are short and without control characters.
func plain(texts ...string) bool {
	for _, t := range texts {
		if len(t) > maxServiceText || strings.ContainsFunc(t, func(c rune) bool { return c < ' ' || c == 0x7f }) {
			return false
		}
	}
	return true
}

// ServiceCall is a request to a service.
type ServiceCall struct {
	Name     string
	Endpoint string // "": the only one there is
	Subject  string // "": that of the endpoint; needed if that has wildcards, and must match it
	Header   Header
	Data     []byte
}

// CallService sends a request to one instance of a service, which the servers choose among its queue group, and returns
// the answer. Errors: ErrNoService; ErrInvalid: it is not clear what is to be called; ErrTooLarge; *ServiceError;
// ErrUnknown: no answer came, also when ctx ended.
func (f *Fabric) CallService(ctx context.Context, call ServiceCall) (Msg, error) {
	fail := func(err error) (Msg, error) {
		return Msg{}, fmt.Errorf("call service %q: %w", call.Name, f.orClosed(err))
	}
	if len(call.Data) > MaxServiceBytes {
		return fail(fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(call.Data), MaxServiceBytes))
	}
	began := time.Now()
	for after := began.Add(-calledLife); ; after = began { // who is not known, or has gone, is asked for again
		list, err := f.knownServices(ctx, after)
		if err != nil {
			return fail(err)
		}
		subject, err := call.subject(list)
		if errors.Is(err, ErrNoService) && !after.Equal(began) {
			continue
		}
		if err != nil {
			return fail(err)
		}
		reply, err := f.clients.RequestMsgWithContext(ctx, &nats.Msg{Subject: subject, Header: nats.Header(call.Header), Data: call.Data})
		switch {
		case errors.Is(err, nats.ErrNoResponders) && !after.Equal(began):
			continue
		case errors.Is(err, nats.ErrNoResponders):
			return fail(fmt.Errorf("%w: nobody listens on %q", ErrNoService, subject))
		case err != nil:
			return fail(f.sendError(err))
		}
		if text, code := reply.Header.Get(errorHeader), reply.Header.Get(codeHeader); text != "" || code != "" {
			return fail(&ServiceError{Service: call.Name, Code: code, Text: text})
		}
		return Msg{Subject: reply.Subject, Header: Header(reply.Header), Data: reply.Data}, nil
	}
}

// subject finds where the call goes.
func (c *ServiceCall) subject(list []Service) (string, error) {
	var named, found []Service
	var endpoints []string
	for _, s := range list {
		if s.Name != c.Name {
			continue
		}
		named = append(named, s)
		if !slices.Contains(endpoints, s.Endpoint) {
			endpoints = append(endpoints, s.Endpoint)
		}
		if c.Endpoint == "" || s.Endpoint == c.Endpoint {
			found = append(found, s)
		}
	}
	switch {
	case len(named) == 0:
		return "", ErrNoService
	case len(found) == 0:
		return "", fmt.Errorf("%w: it has no endpoint %q, but %s", ErrNoService, c.Endpoint, quoted(endpoints))
	case c.Endpoint == "" && len(endpoints) > 1:
		return "", fmt.Errorf("%w: it has several endpoints: %s", ErrInvalid, quoted(endpoints))
	}
	subject := c.Subject
	if subject == "" {
		subject = found[0].Subject
	}
	if strings.ContainsAny(subject, "*>") {
		return "", fmt.Errorf("%w: the subject %q of the endpoint has wildcards: say which", ErrInvalid, subject)
	}
	if err := checkSubject(subject); err != nil {
		return "", fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	for _, s := range found {
		if subjectMatches(s.Subject, subject) {
			return subject, nil
		}
	}
	return "", fmt.Errorf("%w: subject %q is not of the endpoint, which has %q", ErrInvalid, subject, found[0].Subject)
}

func quoted(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = fmt.Sprintf("%q", n)
	}
	return strings.Join(out, ", ")
}

// subjectMatches reports whether a subject is one of those of a pattern.
func subjectMatches(pattern, subject string) bool {
	ps, ss := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, p := range ps {
		switch {
		case p == ">":
			return len(ss) > i
		case i >= len(ss), p != "*" && p != ss[i]:
			return false
		}
	}
	return len(ps) == len(ss)
}
