package flow

import "github.com/tidemill/tidemill/internal/batch"

// union adds its inputs. Addition of Z-sets is UNION ALL, and it is linear.
type union struct{}

func (union) Push(_ *Step, _ int, b *batch.Batch, out Emitter) { out.Emit(b) }

func (union) Flush(*Step, Emitter) {}

func (union) StateBytes() int64 { return 0 }
