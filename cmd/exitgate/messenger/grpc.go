package messenger

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// newGRPCServer offers /messenger.v1.Messenger/Send, from StringValue to
// StringValue, and grpc.health.v1. One method of well-known types isn't worth
// a code generator.
func newGRPCServer(a *App) *grpc.Server {
	s := grpc.NewServer(grpc.MaxRecvMsgSize(maxBody))
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "messenger.v1.Messenger",
		Methods:     []grpc.MethodDesc{{MethodName: "Send", Handler: a.sendHandler}},
	}, nil)
	healthv1.RegisterHealthServer(s, health.NewServer())
	return s
}

func (a *App) sendHandler(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	text := new(wrapperspb.StringValue)
	if err := decode(text); err != nil {
		return nil, err
	}
	if text.Value == "" {
		return nil, status.Error(codes.InvalidArgument, "The message is empty.")
	}
	return wrapperspb.String(fmt.Sprintf("message %d sent", a.post("guest", text.Value).ID)), nil
}
