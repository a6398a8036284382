package asgsim

import (
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

// Ends of the status message of a launch that was abandoned. AWS documents both:
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/tutorial-lifecycle-hook-instance-metadata.html and
// https://docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-auto-scaling.html.
const (
	abandoned = "Lifecycle Action Completed with ABANDON Result"
	timedOut  = "Heartbeat Timeout"
)

// await keeps the instance in a wait state until the lifecycle action is completed or times out. It returns the result,
// and how the status message of an abandoned launch ends.
func (s *Simulator) await(i *instance, h *Hook, state types.LifecycleState, a *Activity) (result, why string) {
	completed := make(chan string, 1)
	s.mu.Lock()
	i.state, i.hook, i.result, a.StatusCode = state, h, completed, types.ScalingActivityStatusCodeMidLifecycleAction
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		i.hook = nil
		s.mu.Unlock()
	}()
	terminated := i.terminated
	if state == types.LifecycleStateTerminatingWait {
		terminated = nil
	}
	timeout := time.NewTimer(s.scaled(h.Timeout))
	defer timeout.Stop()
	poll := time.NewTicker(s.scaled(reconcileInterval))
	defer poll.Stop()
	for {
		select {
		case r := <-completed:
			return r, abandoned
		case <-timeout.C:
			s.Log("%s: hook %s of %s timed out: %s", i.Group, h.Name, i.ID, h.DefaultResult)
			return h.DefaultResult, timedOut
		case <-poll.C:
			// "The action the Auto Scaling group takes when the lifecycle hook timeout elapses or if an unexpected
			// failure occurs." Such a failure is a power-off. That AWS acts on it at once is not documented.
			if !s.Driver.Running(i.ID) {
				select {
				case r := <-completed: // before the power-off
					return r, abandoned
				default:
					return h.DefaultResult, abandoned
				}
			}
		case <-terminated:
			return Abandon, abandoned
		case <-s.ctx.Done():
			return Abandon, abandoned
		}
	}
}

// complete implements CompleteLifecycleAction.
func (s *Simulator) complete(groupName, hook, id, result string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.group(groupName)
	if err != nil {
		return err
	}
	i := g.instances[id]
	if i == nil || i.hook == nil || i.hook.Name != hook {
		return invalid("No active Lifecycle Action found with instance ID %s", id)
	}
	i.finish(result)
	return nil
}

// PutHook adds a lifecycle hook to a group. It applies to instances that are launched or terminated from now on.
func (s *Simulator) PutHook(name string, h Hook) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.group(name)
	if err != nil {
		return err
	}
	g.Hooks = append(slices.DeleteFunc(slices.Clone(g.Hooks), func(o Hook) bool { return o.Name == h.Name }), h)
	return nil
}

// DeleteHook removes a lifecycle hook: "If there are any outstanding lifecycle actions, they are completed first
// (ABANDON for launching instances, CONTINUE for terminating instances)."
func (s *Simulator) DeleteHook(name, hook string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.group(name)
	if err != nil {
		return err
	}
	g.Hooks = slices.DeleteFunc(slices.Clone(g.Hooks), func(h Hook) bool { return h.Name == hook })
	for _, i := range g.instances {
		if i.hook != nil && i.hook.Name == hook {
			i.finish(map[bool]string{true: Continue, false: Abandon}[i.terminating])
		}
	}
	return nil
}

// finish completes the lifecycle action of an instance, unless it is completed already.
func (i *instance) finish(result string) {
	select {
	case i.result <- result:
	default:
	}
}
