package node

import (
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/syscat"
	"github.com/tidemill/tidemill/internal/types"
)

// clusterRows fills the system catalogs of the cluster.
func clusterRows(env *syscat.Env, st ClusterStatus) {
	now := time.Now()
	for _, x := range st.Nodes {
		state := x.state()
		env.Nodes = append(env.Nodes, syscat.NodeInfo{Name: x.Name, State: state, Version: x.Version, SQL: x.PG, HTTP: x.HTTP, NATS: x.NATS, Routes: x.Routes, Zone: x.Zone,
			Started: instant(x.Started), Seen: instant(x.Seen), Connections: x.Connections, DiskFree: x.DiskFree, DiskReserve: x.DiskReserve, Problems: strings.Join(x.Problems, "\n")})
		for _, p := range x.Pipelines {
			r := syscat.ReplicaInfo{Pipeline: p.Name, Node: x.Name, Role: p.Role, Epoch: p.Epoch, Step: p.Step, LogPosition: p.LogPosition, Reason: p.Reason,
				Behind: types.NullOf(types.T(types.Interval))}
			if !x.Online {
				r.Role = "away"
			}
			if p.LagMillis >= 0 {
				behind := time.Duration(p.LagMillis)*time.Millisecond + now.Sub(x.Seen)
				r.Behind = types.Value{T: types.T(types.Interval), V: types.IntervalVal{Micros: behind.Microseconds()}}
			}
			env.Replicas = append(env.Replicas, r)
		}
	}
}

// state says in a word how a node does.
func (x *NodeStatus) state() string {
	switch {
	case !x.Online:
		return "away"
	case x.Draining:
		return "drained"
	}
	return "online"
}

// instant is a time as a timestamp with time zone, NULL if it is zero.
func instant(t time.Time) types.Value {
	if t.IsZero() {
		return types.NullOf(types.T(types.TimestampTZ))
	}
	return types.IntValue(types.TimestampTZ, t.UnixMicro()-epochMicros)
}
