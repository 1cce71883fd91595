package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/converter"

	"github.com/holdfast-db/holdfast/activities"
	"github.com/holdfast-db/holdfast/workflows"
)

// TestWhatTheTemporalUIShows asks the service for what its UI displays: search
// attributes, summaries, details, and the current details of a database that is
// well, that fails, that is paused, and that is well again.
func TestWhatTheTemporalUIShows(t *testing.T) {
	s := newStand(t, "sync: {interval: 200ms, heartbeat: 12s}\nbackoff: {cap: 2s}", "50")
	s.replicate()
	s.waitForWindow()
	s.mustShowStatics()
	s.mustShow("Replicating", "replica holds TXID **0000000000", "equal to the database at **20", "not yet shipped: ", "shipped: ")
	if details := s.details(); strings.Contains(details, "failures") {
		t.Errorf("failures of a healthy database:\n%s", details)
	}

	s.away()
	s.mustShow("StoreUnavailable", "1 consecutive failures**, last StoreUnavailable: ", "replica holds TXID **0000000000", "equal to the database at **20")
	s.mustShowAttempts()
	s.run("pause", s.name, "--reason", "to look at it")
	s.mustShow("Paused", "paused: to look at it")
	s.back()
	s.run("resume", s.name)
	s.mustShow("Replicating", "equal to the database at **20")
	if details := s.details(); strings.Contains(details, "failures") {
		t.Errorf("failures of a database that has recovered:\n%s", details)
	}
	s.mustShowSummaries()
}

// mustShow waits for a phase, and looks for it, and for words, in the search
// attributes and the current details.
func (s *stand) mustShow(phase string, words ...string) {
	s.t.Helper()
	s.waitLabel("HoldfastPhase", phase)
	s.waitLabel("HoldfastHost", s.host)
	s.waitLabel("HoldfastDatabase", s.name)
	words = append(words, "### "+phase+" since 20", s.path, s.configured())
	details, missing := "", ""
	eventually(s.t, 5*time.Second, func() bool {
		details, missing = s.details(), ""
		for _, word := range words {
			if !strings.Contains(details, word) {
				missing = word
			}
		}
		return missing == ""
	}, func() string { return fmt.Sprintf("%q is not in the current details:\n%s", missing, details) })
	s.t.Logf("current details:\n%s", details)
}

// details are the workflow's current details.
func (s *stand) details() string {
	s.t.Helper()
	value, err := s.client.QueryWorkflow(s.t.Context(), workflows.WorkflowID(s.name), "", "__temporal_workflow_metadata")
	if err != nil {
		s.t.Fatal(err)
	}
	var metadata sdkpb.WorkflowMetadata
	if err := value.Get(&metadata); err != nil {
		s.t.Fatal(err)
	}
	return metadata.CurrentDetails
}

// mustShowStatics looks at what was fixed when the workflow began.
func (s *stand) mustShowStatics() {
	s.t.Helper()
	d, err := s.client.DescribeWorkflowExecution(s.t.Context(), workflows.WorkflowID(s.name), "")
	if err != nil {
		s.t.Fatal(err)
	}
	metadata := d.ExecutionConfig.GetUserMetadata()
	summary, details := s.words(metadata, (*sdkpb.UserMetadata).GetSummary), s.words(metadata, (*sdkpb.UserMetadata).GetDetails)
	s.t.Logf("summary: %s\ndetails: %s", summary, details)
	if want := fmt.Sprintf("%s:%s to %s", s.host, s.path, s.configured()); summary != want {
		s.t.Errorf("summary: got %q, want %q", summary, want)
	}
	for _, word := range []string{s.name, s.host, s.path, s.configured(), "holdfast restore"} {
		if !strings.Contains(details, word) {
			s.t.Errorf("%q is not in the details", word)
		}
	}
}

// mustShowAttempts looks for the backoff that the UI shows as a pending activity.
func (s *stand) mustShowAttempts() {
	s.t.Helper()
	eventually(s.t, 10*time.Second, func() bool {
		a, beat := s.pending()
		return a.GetAttempt() > 2 && a.GetLastFailure().GetApplicationFailureInfo().GetType() == activities.StoreUnavailable &&
			a.GetNextAttemptScheduleTime() != nil && beat.Failures == int(a.Attempt-1)
	}, func() string { return "no pending activity with attempt, last failure and next attempt" })
	st := s.status(s.name)
	if n, _ := st["failures"].(float64); n < 2 || st["problem"] == nil || st["attempt"].(float64) < 3 {
		s.t.Errorf("status: failures %v, attempt %v, problem %v", st["failures"], st["attempt"], st["problem"])
	}
}

// mustShowSummaries fails if an activity or a timer has no summary.
func (s *stand) mustShowSummaries() {
	s.t.Helper()
	n := map[string]int{}
	for _, e := range s.history() {
		kind := e.GetActivityTaskScheduledEventAttributes().GetActivityType().GetName()
		if e.GetTimerStartedEventAttributes() != nil {
			kind = "timer"
		}
		if kind == "" {
			continue
		}
		n[kind]++
		if s.summary(e) == "" {
			s.t.Errorf("event %d, %s, has no summary", e.EventId, kind)
		}
	}
	s.t.Logf("with summaries: %v", n)
	for _, kind := range []string{activities.NameSync, activities.NameSyncOnce, activities.NameStopSync, "timer"} {
		if n[kind] == 0 {
			s.t.Errorf("no %s in the history", kind)
		}
	}
}

// words decodes a part of what people are shown.
func (s *stand) words(m *sdkpb.UserMetadata, part func(*sdkpb.UserMetadata) *commonpb.Payload) (text string) {
	s.t.Helper()
	p := part(m)
	if p == nil {
		return ""
	}
	if err := converter.GetDefaultDataConverter().FromPayload(p, &text); err != nil {
		s.t.Fatal(err)
	}
	return text
}
