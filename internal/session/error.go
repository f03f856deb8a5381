package session

import (
	"context"
	"errors"

	"github.com/tidemill/tidemill/internal/sql"
	"github.com/tidemill/tidemill/internal/types"
)

// AsError turns any error of a session into one with a SQLSTATE. cancelled is the
// message of a statement whose context ended.
func AsError(err error, cancelled string) *types.Error {
	var te *types.Error
	var se *sql.Error
	switch {
	case errors.As(err, &te):
		return te
	case errors.As(err, &se):
		return &types.Error{Code: se.Code, Message: se.Message, Detail: se.Detail, Hint: se.Hint, Pos: se.Pos + 1}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &types.Error{Code: types.CodeQueryCanceled, Message: cancelled}
	}
	return &types.Error{Code: types.CodeInternal, Message: err.Error()}
}
