package node

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tidemill/tidemill/internal/engine"
)

// metricsHandler serves what a node counts in Prometheus's text format, from a
// registry of its own.
func metricsHandler(n *Node) http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &collector{n})
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{})
}

// collector reads the counters at each scrape.
type collector struct{ n *Node }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("tidemill_"+name, help, labels, nil)
}

var (
	descSteps        = desc("steps_total", "Steps committed.")
	descRowsIn       = desc("rows_in_total", "Changes of tables and rows of sources that went into steps.")
	descRowsOut      = desc("rows_out_total", "Changes of views that came out of steps.")
	descRejected     = desc("transactions_rejected_total", "Transactions that a constraint or a conflict refused.")
	descQuarantined  = desc("quarantined_total", "Records of sources put aside because they could not be decoded.")
	descQueries      = desc("queries_total", "Ad-hoc queries.")
	descRowErrors    = desc("row_errors_total", "Rows that views could not compute.")
	descStepTime     = desc("step_seconds", "From the closing of a step to its commit.")
	descAppendTime   = desc("log_append_seconds", "One append to the log.")
	descPublish      = desc("publish_seconds", "Making a committed step visible.")
	descQueryTime    = desc("query_seconds", "One ad-hoc query.")
	descStep         = desc("step", "The last committed step.")
	descState        = desc("state_bytes", "What a relation holds: its rows and the state of its circuit.", "relation")
	descRows         = desc("relation_rows", "Rows that a relation holds.", "relation")
	descLag          = desc("source_lag_rows", "Rows of a source that are durable and in no step yet.", "source")
	descLate         = desc("late_rows_total", "Rows that came too late for the watermark of their source or table.", "relation")
	descWatermark    = desc("watermark_seconds", "The watermark of a column, in Unix time.", "relation", "column")
	descBuilds       = desc("builds", "Views, sinks and indexes that are being made beside the steps.")
	descBuildRows    = desc("build_rows", "Rows that one of them has taken in.", "relation")
	descDiskFree     = desc("disk_free_bytes", "What is free on the disk of the data directory.")
	descDiskReserve  = desc("disk_reserve_bytes", "What is kept free there: with less, writes are refused.")
	descCkpts        = desc("checkpoints_total", "Checkpoints completed.")
	descCkptBytes    = desc("checkpoint_bytes_total", "Bytes written by completed checkpoints.")
	descCkptFailures = desc("checkpoint_failures_total", "Checkpoints that could not be written.")
	descCkptTime     = desc("checkpoint_seconds", "From the freeze of a checkpoint to its record in the log.")
	descCkptPause    = desc("checkpoint_pause_seconds", "How long steps waited for a checkpoint's freeze.")
	descCkptStep     = desc("checkpoint_step", "The last completed checkpoint's step; 0: there is none since the start.")
	descCkptAge      = desc("checkpoint_age_seconds", "Since the last checkpoint was completed.")
	descMemory       = desc("memory_bytes", "State and cached rows in memory, of what can leave it.")
	descMemoryLimit  = desc("memory_limit_bytes", "How much of it may be in memory.")
	descConns        = desc("sql_connections", "SQL clients connected now.")
	descConnsTotal   = desc("sql_connections_total", "SQL clients there have been.")
)

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v int64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
	}
	gauge := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	if e := c.n.pipeline.running(); e != nil {
		collectEngine(ch, e, counter, gauge)
	}
	free, reserve := c.n.fabric.Space()
	gauge(descDiskFree, free)
	gauge(descDiskReserve, reserve)
	if c.n.pg != nil {
		now, total := c.n.pg.Connections()
		gauge(descConns, now)
		counter(descConnsTotal, total)
	}
}

// collectEngine reads those of the pipeline.
func collectEngine(ch chan<- prometheus.Metric, e *engine.Engine, counter func(*prometheus.Desc, int64), gauge func(*prometheus.Desc, int64, ...string)) {
	m := e.Metrics()
	counter(descSteps, m.Steps.Load())
	counter(descRowsIn, m.RowsIn.Load())
	counter(descRowsOut, m.RowsOut.Load())
	counter(descRejected, m.Rejected.Load())
	counter(descQuarantined, m.Quarantined.Load())
	counter(descQueries, m.Queries.Load())
	_, errs := e.RowErrors()
	counter(descRowErrors, errs)
	histogram(ch, descStepTime, &m.StepTime)
	histogram(ch, descAppendTime, &m.AppendTime)
	histogram(ch, descPublish, &m.PublishTime)
	histogram(ch, descQueryTime, &m.QueryTime)
	collectCheckpoints(ch, e, counter, gauge)
	snap := e.Snapshot()
	gauge(descStep, int64(snap.Step))
	for _, r := range snap.Catalog.Relations() {
		if rows := snap.Rows(r.ID); rows != nil {
			gauge(descState, snap.Bytes(r.ID), r.Schema+"."+r.Name)
			gauge(descRows, rows.Rows(), r.Schema+"."+r.Name)
		}
	}
	builds := e.Builds()
	gauge(descBuilds, int64(len(builds)))
	for _, b := range builds {
		gauge(descBuildRows, b.Rows, b.Schema+"."+b.Name)
	}
	for _, s := range e.Sources() {
		gauge(descLag, s.PendingRows, s.Schema+"."+s.Name)
	}
	for _, w := range e.Watermarks(snap) {
		schema := snap.Catalog.ByID(w.Relation).Schema
		if w.Declared {
			ch <- prometheus.MustNewConstMetric(descLate, prometheus.CounterValue, float64(w.Late), schema+"."+w.Name)
		}
		if !w.Watermark.Null {
			ch <- prometheus.MustNewConstMetric(descWatermark, prometheus.GaugeValue, float64(w.Watermark.I+epochMicros)/1e6, schema+"."+w.Name, w.Column)
		}
	}
}

// collectCheckpoints reads those of checkpoints, and of the memory for state.
func collectCheckpoints(ch chan<- prometheus.Metric, e *engine.Engine, counter func(*prometheus.Desc, int64), gauge func(*prometheus.Desc, int64, ...string)) {
	m := e.Metrics()
	counter(descCkpts, m.Checkpoints.Load())
	counter(descCkptBytes, m.CheckpointBytes.Load())
	counter(descCkptFailures, m.CheckpointFailures.Load())
	histogram(ch, descCkptTime, &m.CheckpointTime)
	histogram(ch, descCkptPause, &m.CheckpointPause)
	gauge(descCkptStep, m.CheckpointStep.Load())
	if at := m.CheckpointMicros.Load(); at > 0 {
		ch <- prometheus.MustNewConstMetric(descCkptAge, prometheus.GaugeValue, time.Since(time.UnixMicro(at)).Seconds())
	}
	used, limit := e.Memory()
	gauge(descMemory, used)
	gauge(descMemoryLimit, limit)
}

// histogram hands on one of the engine's histograms.
func histogram(ch chan<- prometheus.Metric, d *prometheus.Desc, h *engine.Histogram) {
	counts, sum := h.Read()
	buckets := map[float64]uint64{}
	var total uint64
	for i, n := range counts {
		total += uint64(n)
		if i < len(engine.HistogramBounds) {
			buckets[engine.HistogramBounds[i]] = total
		}
	}
	ch <- prometheus.MustNewConstHistogram(d, total, sum, buckets)
}
