package engine

import (
	"context"
	"encoding/json"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The embedded engine answers two questions beside BuildKit's, on the same
// socket: who it is, and whether it will end because nobody needs it.
const (
	controlService  = "strata.engine.v1.Engine"
	statusMethod    = "Status"
	stopUnusedQuery = "StopUnused"
)

// A controlServer answers the questions.
type controlServer interface {
	// status also makes the engine read its settings again, so that what a
	// command wrote before asking holds when it has the answer.
	status(ctx context.Context) StatusInfo
	// stopUnused ends the engine unless somebody but the asker is connected,
	// and says whether it does.
	stopUnused(ctx context.Context) bool
}

// registerControl makes s answer by c.
func registerControl(s *grpc.Server, c controlServer) {
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: controlService,
		HandlerType: (*controlServer)(nil),
		Methods: []grpc.MethodDesc{
			{MethodName: statusMethod, Handler: answer(func(ctx context.Context) (any, error) {
				text, err := json.Marshal(c.status(ctx))
				return wrapperspb.Bytes(text), err
			})},
			{MethodName: stopUnusedQuery, Handler: answer(func(ctx context.Context) (any, error) {
				return wrapperspb.Bool(c.stopUnused(ctx)), nil
			})},
		},
	}, c)
}

// answer makes a gRPC handler for a question without parameters.
func answer(reply func(context.Context) (any, error)) grpc.MethodHandler {
	return func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		if err := decode(new(emptypb.Empty)); err != nil {
			return nil, err
		}
		return reply(ctx)
	}
}

// A control is a command's line to an embedded engine. While it is open the
// engine counts as used.
type control struct{ conn *grpc.ClientConn }

func newControl(dial func(context.Context, string) (net.Conn, error)) (*control, error) {
	conn, err := grpc.NewClient("passthrough:///engine",
		grpc.WithContextDialer(dial),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithIdleTimeout(0), // an idle line would be hung up, and the engine count as unused
	)
	if err != nil {
		return nil, err
	}
	return &control{conn: conn}, nil
}

func (c *control) status(ctx context.Context) (StatusInfo, error) {
	var info StatusInfo
	text := new(wrapperspb.BytesValue)
	if err := c.conn.Invoke(ctx, "/"+controlService+"/"+statusMethod, new(emptypb.Empty), text); err != nil {
		return info, err
	}
	return info, json.Unmarshal(text.GetValue(), &info)
}

func (c *control) stopUnused(ctx context.Context) (bool, error) {
	stops := new(wrapperspb.BoolValue)
	err := c.conn.Invoke(ctx, "/"+controlService+"/"+stopUnusedQuery, new(emptypb.Empty), stops)
	return stops.GetValue(), err
}

func (c *control) Close() error { return c.conn.Close() }
