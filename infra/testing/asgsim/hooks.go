package asgsim

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

// action is a lifecycle action in a wait state.
type action struct {
	hook   *Hook
	result chan string
	beat   chan struct{}
}

// globalLimit: "The maximum time, in seconds, that an instance can remain in a wait state. The maximum is 172800
// seconds (48 hours) or 100 times HeartbeatTimeout, whichever is smaller."
func globalLimit(h *Hook) time.Duration { return min(48*time.Hour, 100*h.Timeout) }

// await keeps the instance in a wait state until the action is completed or times out, and returns the result.
func (s *Simulator) await(i *instance, h *Hook, state types.LifecycleState, a *Activity) string {
	act := &action{h, make(chan string, 1), make(chan struct{}, 1)}
	s.mu.Lock()
	i.state, i.action, a.Status = state, act, types.ScalingActivityStatusCodeMidLifecycleAction
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		i.action = nil
		s.mu.Unlock()
	}()
	terminated := i.terminated
	if state == types.LifecycleStateTerminatingWait {
		terminated = nil
	}
	global := time.NewTimer(s.scaled(globalLimit(h)))
	defer global.Stop()
	heartbeat := time.NewTimer(s.scaled(h.Timeout))
	defer heartbeat.Stop()
	poll := time.NewTicker(s.scaled(reconcileInterval))
	defer poll.Stop()
	for {
		select {
		case r := <-act.result:
			return r
		case <-act.beat:
			// "This extends the timeout by the length of time defined using the PutLifecycleHook API call."
			heartbeat.Reset(s.scaled(h.Timeout))
		case <-heartbeat.C:
			// "If the lifecycle hook times out, Amazon EC2 Auto Scaling performs the action that you specified in the
			// DefaultResult property."
			s.Log("%s: hook %s of %s timed out: %s", i.Group, h.Name, i.ID, h.DefaultResult)
			return h.DefaultResult
		case <-global.C:
			return h.DefaultResult
		case <-poll.C:
			// "The action the Auto Scaling group takes when the lifecycle hook timeout elapses or if an unexpected
			// failure occurs." Such a failure is a power-off. That AWS acts on it at once is not documented.
			if !s.Driver.Running(i.ID) {
				select {
				case r := <-act.result: // completed before the power-off
					return r
				default:
					return h.DefaultResult
				}
			}
		case <-terminated:
			return Abandon
		case <-s.ctx.Done():
			return Abandon
		}
	}
}

// complete implements CompleteLifecycleAction: "Completes the lifecycle action for the specified token or instance with
// the specified result."
func (s *Simulator) complete(groupName, hook, id, result string) error {
	act, err := s.active(groupName, hook, id)
	if err != nil {
		return err
	}
	if result != Continue && result != Abandon {
		return invalid("%s is not a result of a lifecycle action", result)
	}
	select {
	case act.result <- result:
	default: // completed already
	}
	return nil
}

// heartbeat: "Records a heartbeat for the lifecycle action associated with the specified token or instance."
func (s *Simulator) heartbeat(groupName, hook, id string) error {
	act, err := s.active(groupName, hook, id)
	if err == nil {
		select {
		case act.beat <- struct{}{}:
		default: // one is pending already
		}
	}
	return err
}

func (s *Simulator) active(groupName, hook, id string) (*action, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.group(groupName)
	if err != nil {
		return nil, err
	}
	i := g.instances[id]
	if i == nil || i.action == nil || i.action.hook.Name != hook {
		return nil, invalid("No active Lifecycle Action found with instance ID %s", id)
	}
	return i.action, nil
}
