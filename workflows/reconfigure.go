package workflows

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// Reconfiguration changes some settings of a database and leaves the others.
type Reconfiguration struct {
	ID string `json:"id,omitempty"` // names it in the status

	// Settings are those that change, as Settings has them in JSON, like
	// {"interval": "5s"}. The values are absolute, so to send it twice changes nothing.
	Settings json.RawMessage `json:"settings"`
}

// Reconfigured answers a Reconfiguration.
type Reconfigured struct {
	Status  Status `json:"status"`
	Changed bool   `json:"changed"`
}

// apply returns s with the change made. Its error names the setting that is not there,
// cannot be read or cannot work.
func (c Reconfiguration) apply(s Settings) (Settings, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return s, err
	}
	var t settingsText
	if err := json.Unmarshal(text, &t); err != nil {
		return s, err
	}
	change := json.NewDecoder(bytes.NewReader(c.Settings))
	change.DisallowUnknownFields()
	if err := change.Decode(&t); err != nil {
		return s, fmt.Errorf("settings: %w; write some of those that the status has", err)
	}
	if t.Interval == nil || t.Window == nil {
		return s, errors.New("settings: null is no interval and no window; write a duration such as 1s")
	}
	if text, err = json.Marshal(t); err != nil {
		return s, err
	}
	var changed Settings
	if err := json.Unmarshal(text, &changed); err != nil {
		return s, err
	}
	changed = changed.filled()
	return changed, changed.Validate()
}

func (r *replication) mayReconfigure(c Reconfiguration) error {
	if err := r.open(); err != nil {
		return err
	}
	_, err := c.apply(r.st.Spec.Settings)
	return r.refused(err)
}

// refused is err of a reconfiguration as an update is refused with it.
func (r *replication) refused(err error) error {
	if err == nil {
		return nil
	}
	return temporal.NewNonRetryableApplicationError(fmt.Sprintf("reconfigure %s: %v", r.st.Spec.Name, err), ErrRefused, nil)
}

// onReconfigure returns when the settings hold, which is when the window under way has
// ended. What needs a person goes on to need one.
func (r *replication) onReconfigure(ctx workflow.Context, c Reconfiguration) (Reconfigured, error) {
	r.accept(ctx, c.ID)
	if err := r.admission(ctx); err != nil {
		return Reconfigured{}, err
	}
	changed := false
	if want, err := c.apply(r.st.Spec.Settings); err != nil || want != r.st.Spec.Settings {
		if changed, err = r.reset(ctx, c); err != nil {
			return Reconfigured{}, r.refused(err)
		}
	}
	r.refresh(ctx)
	return Reconfigured{r.status(), changed}, nil
}

// reset makes the change between windows, of what the settings are by then.
func (r *replication) reset(ctx workflow.Context, c Reconfiguration) (changed bool, err error) {
	r.betweenWindows(ctx, func() {
		var want Settings
		if want, err = c.apply(r.st.Spec.Settings); err != nil || want == r.st.Spec.Settings {
			return
		}
		changed = true
		r.retain(want)
		r.st.Spec.Settings = want
		r.nudged = r.nudged || !r.st.Attention
	})
	return changed, err
}
