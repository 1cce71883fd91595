package azure

import (
	"net/http"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"golang.org/x/sync/semaphore"
)

// callsAtOnce is how many calls to one endpoint are under way, each from its first try to
// its last. When a thousand databases wake at once the store answers one after the other,
// the last not within answerTime: it would be given up and asked again, for nothing. From
// a store that swallows everything the last of a thousand so hears after some 100 seconds.
const callsAtOnce = 128

// turns lets callsAtOnce calls go on. The others wait outside of the time for a try.
type turns struct{ *semaphore.Weighted }

// Do implements policy.Policy.
func (t turns) Do(req *policy.Request) (*http.Response, error) {
	if err := t.Acquire(req.Raw().Context(), 1); err != nil {
		return nil, err
	}
	defer t.Release(1)
	return req.Next()
}

var endpoints sync.Map // turns by endpoint

// turnsAt returns those of all stores of the process at endpoint.
func turnsAt(endpoint string) turns {
	t, _ := endpoints.LoadOrStore(endpoint, turns{semaphore.NewWeighted(callsAtOnce)})
	return t.(turns)
}
