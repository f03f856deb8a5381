package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/internal/fabric"
	"github.com/tidemill/tidemill/internal/httpapi"
	"github.com/tidemill/tidemill/internal/syscat"
)

// services serves the request/reply services of NATS clients.
type services struct{ f *fabric.Fabric }

// Services implements httpapi.Services.
func (s services) Services(ctx context.Context) ([]httpapi.Service, error) {
	list, err := s.f.Services(ctx)
	out := make([]httpapi.Service, len(list))
	for i, x := range list {
		out[i] = httpapi.Service{Name: x.Name, ID: x.ID, Version: x.Version, Endpoint: x.Endpoint, Subject: x.Subject, Node: x.Node,
			Requests: x.Requests, Errors: x.Errors, AverageMillis: millisOf(x.Average), Started: x.Started.UTC()}
	}
	return out, coordinationError(err)
}

// Call implements httpapi.Services.
func (s services) Call(ctx context.Context, c httpapi.ServiceCall) (map[string][]string, []byte, error) {
	m, err := s.f.CallService(ctx, fabric.ServiceCall{Name: c.Name, Endpoint: c.Endpoint, Subject: c.Subject, Header: c.Header, Data: c.Body})
	var failed *fabric.ServiceError
	switch {
	case err == nil:
		return m.Header, m.Data, nil
	case errors.As(err, &failed):
		return nil, nil, &httpapi.ServiceError{Code: failed.Code, Text: failed.Text}
	case errors.Is(err, fabric.ErrNoService):
		return nil, nil, fmt.Errorf("%w: %w", httpapi.ErrNoService, coordinationError(err))
	case ctx.Err() != nil:
		return nil, nil, ctx.Err()
	}
	return nil, nil, coordinationError(err)
}

func millisOf(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// serviceRows fills tidemill.services.
func serviceRows(ctx context.Context, env *syscat.Env, f *fabric.Fabric) error {
	list, err := f.Services(ctx)
	for _, x := range list {
		env.Services = append(env.Services, syscat.ServiceInfo{Name: x.Name, ID: x.ID, Version: x.Version, Endpoint: x.Endpoint, Subject: x.Subject, Node: x.Node,
			Requests: x.Requests, Errors: x.Errors, AverageMillis: millisOf(x.Average), Started: instant(x.Started)})
	}
	return coordinationError(err)
}
