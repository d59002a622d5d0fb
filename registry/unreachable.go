package registry

import (
	"errors"
	"net"
	"net/http"
)

// Unreachable reports whether the registry could not be asked, or could not
// answer for the time being. That it refuses, or has no such image, is an answer.
func (e *Error) Unreachable() bool {
	if status := HTTPStatus(e); status != 0 {
		return status >= http.StatusInternalServerError || status == http.StatusTooManyRequests
	}
	var network net.Error
	return errors.As(e.Err, &network)
}
