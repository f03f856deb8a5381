package plan

import (
	"fmt"

	"github.com/tidemill/tidemill/internal/types"
)

// bail carries an error up to the package's boundary: binding recurses through
// dozens of mutually recursive cases, and none of them can go on after an error.
// It never leaves the package (see guard).
type bail struct{ err error }

// noPos marks an error without a place in the text.
const noPos = -1

// fail ends the planning with an error at byte offset pos.
func fail(pos int, code, format string, args ...any) {
	failWith(pos, &types.Error{Code: code, Message: fmt.Sprintf(format, args...)})
}

// failHint is fail with a hint.
func failHint(pos int, code, hint, format string, args ...any) {
	failWith(pos, &types.Error{Code: code, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// unsupported ends the planning: what is at pos is known but not built.
func unsupported(pos int, format string, args ...any) {
	fail(pos, types.CodeFeature, format+" is not supported yet", args...)
}

// failDetail is fail with a detail.
func failDetail(pos int, code, detail, format string, args ...any) {
	failWith(pos, &types.Error{Code: code, Message: fmt.Sprintf(format, args...), Detail: detail})
}

func failWith(pos int, e *types.Error) {
	if pos >= 0 {
		e = e.At(pos)
	}
	panic(bail{e})
}

// check ends the planning with err, placed at pos unless it has a place, if there is one.
func check(pos int, err error) {
	if err == nil {
		return
	}
	if e, ok := err.(*types.Error); ok {
		failWith(pos, e)
	}
	panic(bail{err})
}

// guard turns a bail back into an error; every exported method defers it.
func guard(err *error) {
	switch r := recover().(type) {
	case nil:
	case bail:
		*err = r.err
	default:
		panic(r)
	}
}
