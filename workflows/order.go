package workflows

import (
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/workflow"
)

// SignalsInOrder returns the interceptor that every worker on TaskQueue needs.
//
// Signals of one name come in the order in which they were sent. Those of
// different names that arrive with the same workflow task do not, and a task can
// bring an hour of them after workers were away: a resume and then a pause would
// end up running. The interceptor notes the order in which the server has them.
func SignalsInOrder() interceptor.WorkerInterceptor { return &ordering{} }

type ordering struct {
	interceptor.WorkerInterceptorBase
}

// InterceptWorkflow gives each run its own list of arrivals.
func (*ordering) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	o := &orderedInbound{}
	o.Next = next
	return o
}

type orderedInbound struct {
	interceptor.WorkflowInboundInterceptorBase
	arrived arrivals
}

// ExecuteWorkflow lets the run see its arrivals.
func (o *orderedInbound) ExecuteWorkflow(ctx workflow.Context, in *interceptor.ExecuteWorkflowInput) (any, error) {
	return o.Next.ExecuteWorkflow(workflow.WithValue(ctx, arrivalsKey{}, &o.arrived), in)
}

// HandleSignal notes the signal and lets it pass.
func (o *orderedInbound) HandleSignal(ctx workflow.Context, in *interceptor.HandleSignalInput) error {
	o.arrived.names = append(o.arrived.names, in.SignalName)
	return o.Next.HandleSignal(ctx, in)
}

type arrivalsKey struct{}

// arrivals are the names of signals that have arrived and were not read yet,
// oldest first.
type arrivals struct{ names []string }

// arrivalsOf returns the run's arrivals; on a worker without the interceptor
// none are ever noted.
func arrivalsOf(ctx workflow.Context) *arrivals {
	if a, ok := ctx.Value(arrivalsKey{}).(*arrivals); ok {
		return a
	}
	return &arrivals{}
}

// next removes and returns the oldest name.
func (a *arrivals) next() (name string, ok bool) {
	if len(a.names) == 0 {
		return "", false
	}
	name, a.names = a.names[0], a.names[1:]
	return name, true
}
