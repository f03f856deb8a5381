package syscat

import "github.com/tidemill/tidemill/internal/types"

// LockInfo is a lock of a user's program.
type LockInfo struct {
	Name, Owner string
	Token       int64
	Expires     types.Value // a timestamp with time zone
}

// MemberInfo is a member of a group of users' programs.
type MemberInfo struct {
	Group, Name    string
	Token          int64
	Since, Expires types.Value // timestamps with time zone
	Data           string      // JSON; empty: none
}

// ServiceInfo is an endpoint of an instance of a service.
type ServiceInfo struct {
	Name, ID, Version string
	Endpoint, Subject string
	Node              string // or address; empty: not known
	Requests, Errors  int64
	AverageMillis     float64
	Started           types.Value // a timestamp with time zone
}

// coordinationTables say what users' programs have asked of coordination.
func coordinationTables() []Table {
	return []Table{
		tide("locks", 13174, "name text, owner text, token int8, expires timestamptz", func(e *Env, r *rows) {
			for _, x := range e.Locks {
				r.add(x.Name, x.Owner, x.Token, x.Expires)
			}
		}),
		tide("members", 13175, "group_name text, name text, token int8, since timestamptz, expires timestamptz, data text", func(e *Env, r *rows) {
			for _, x := range e.Members {
				r.add(x.Group, x.Name, x.Token, x.Since, x.Expires, orNull(x.Data))
			}
		}),
		tide("services", 13176, "name text, id text, version text, endpoint text, subject text, node text, requests int8, errors int8, average_ms float8, started timestamptz",
			func(e *Env, r *rows) {
				for _, x := range e.Services {
					r.add(x.Name, x.ID, x.Version, x.Endpoint, x.Subject, orNull(x.Node), x.Requests, x.Errors, x.AverageMillis, x.Started)
				}
			}),
	}
}
