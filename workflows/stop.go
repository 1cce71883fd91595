package workflows

import (
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast-db/holdfast/activities"
)

// stopping is a stop under way.
type stopping struct {
	skipFinalPass bool
	released      bool
	over          bool
	err           error // why it was called off
}

// ending tells whether the replication is to end.
func (r *replication) ending() bool { return r.stop != nil || r.cancelled() }

func (r *replication) mayStop(StopRequest) error { return r.open() }

// onStop returns when the database is closed and nothing is written any more, or
// when the final pass fails: then the replication goes on, because whoever
// stops a database that way wants it all in the replica.
func (r *replication) onStop(ctx workflow.Context, in StopRequest) (Stopped, error) {
	r.accept(ctx, in.ID)
	if err := r.admission(ctx); err != nil {
		return Stopped{}, err
	}
	if err := r.open(); err != nil { // another one came first
		return Stopped{}, err
	}
	s := &stopping{skipFinalPass: in.SkipFinalPass}
	r.stop = s
	r.refresh(ctx)
	_ = workflow.Await(ctx, func() bool { return s.over })
	if s.err != nil {
		return Stopped{}, s.err
	}
	return Stopped{Status: r.status(), Released: s.released}, nil
}

// end stops the replication, between windows. It reports false when the final
// pass has called it off. A cancelled workflow makes no final pass.
func (r *replication) end(ctx workflow.Context) (over bool, err error) {
	r.refresh(ctx)
	s := r.stop
	if s == nil {
		s = &stopping{skipFinalPass: true}
	}
	if !s.skipFinalPass && !r.cancelled() {
		if err := r.finalPass(ctx); err != nil && !r.cancelled() {
			r.callOff(s, err)
			return false, nil
		}
	}
	s.released = r.release(ctx)
	if r.cancelled() {
		s.err, err = temporal.NewCanceledError(), temporal.NewCanceledError()
	}
	s.over = true
	return true, err
}

func (r *replication) callOff(s *stopping, err error) {
	typ := activities.Internal
	if app := asApplication(err); app != nil {
		typ = app.Type()
	}
	s.err = refuse(typ, "the final pass failed, so %s goes on: %s; stop it without one by --no-final-pass", r.st.Spec.Name, message(err))
	s.over = true
	r.stop = nil
	r.nudged = true
}

// finalPass makes the last pass; a cancellation of the workflow cuts it short.
func (r *replication) finalPass(ctx workflow.Context) (err error) {
	within, cancel := workflow.WithCancel(ctx)
	done := false
	workflow.GoNamed(within, "final pass", func(ctx workflow.Context) {
		_, err = r.pass(ctx, "final pass before the end")
		done = true
	})
	_ = workflow.Await(ctx, func() bool { return done || r.cancelled() })
	cancel()
	_ = workflow.Await(ctx, func() bool { return done })
	return err
}

// release closes the database on its host, if that answers. Its worker closes
// it in any case when it ends.
func (r *replication) release(ctx workflow.Context) bool {
	err := workflow.ExecuteActivity(releaseOptions(ctx, r.st.Spec.Host), activities.NameRelease,
		activities.ReleaseInput{Database: r.database()}).Get(ctx, nil)
	if err != nil {
		r.log.Warn("database not released", "host", r.st.Spec.Host, "db", r.st.Spec.Name, "error", err)
	}
	return err == nil
}
