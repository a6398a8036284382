package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi"
	"github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi/types"

	"imagery/app/deploy/settings"
)

// State is what Pulumi says that it made: ids and ARNs. Nothing else is kept of it.
type State struct {
	Known map[string]bool
	Err   error // why it is not known; nil when it is
}

// ParseState reads what `pulumi stack export` prints.
func ParseState(export []byte) State {
	var doc struct {
		Deployment struct {
			Resources []struct {
				ID      string `json:"id"`
				Outputs struct {
					ARN json.RawMessage `json:"arn"`
				} `json:"outputs"`
			} `json:"resources"`
		} `json:"deployment"`
	}
	if err := json.Unmarshal(export, &doc); err != nil {
		return State{Err: fmt.Errorf("read what pulumi exported: %w", err)}
	}
	s := State{Known: map[string]bool{}}
	for _, r := range doc.Deployment.Resources {
		var arn string
		_ = json.Unmarshal(r.Outputs.ARN, &arn) // what is no text is no ARN
		for _, name := range []string{r.ID, strings.TrimSuffix(arn, ":*")} {
			if name != "" {
				s.Known[name] = true
			}
		}
	}
	return s
}

// knows reports whether the state has what that ARN names, by the ARN or by the id at its end.
func (s State) knows(arn string) bool {
	arn = strings.TrimSuffix(arn, ":*")
	return s.Known[arn] || s.Known[arn[strings.LastIndexAny(arn, "/:")+1:]]
}

// leftoversShown is how many are named; a forgotten stack has a hundred.
const leftoversShown = 20

// leftovers finds what carries the stack's tags and is in no state: it costs, and no destroy removes it.
func (c Cloud) leftovers(ctx context.Context, a *area) {
	tagged, err := c.tagged(ctx)
	if err != nil {
		a.failed("what carries the stack's tags", err)
		return
	}
	if len(tagged) == 0 {
		a.ok("nothing carries the stack's tags")
		return
	}
	if c.State.Err != nil {
		a.info(fmt.Sprintf("%d resources carry the stack's tags: %s", len(tagged), kinds(tagged)), "which of them no state knows cannot be told: "+c.State.Err.Error(),
			"install pulumi and log in to where the stack's state is, then: imagery doctor --stack "+c.Stack)
		return
	}
	var left, instances, attached []string
	for _, arn := range tagged {
		switch kind := kindOf(arn); {
		case c.State.knows(arn):
		case kind == "ec2 instance":
			instances = append(instances, arn)
		case kind == "ec2 volume" || kind == "ec2 network-interface":
			attached = append(attached, arn)
		default:
			left = append(left, arn)
		}
	}
	strays, err := c.strays(ctx, instances)
	if err != nil {
		a.failed("which group the instances are in", err)
	}
	if left = append(left, strays...); len(left) == 0 {
		a.ok("%d resources carry the stack's tags, and none is left over", len(tagged))
	}
	for i, arn := range left {
		if i == leftoversShown {
			a.warn(fmt.Sprintf("and %d more: %s", len(left)-i, kinds(left[i:])), "", "")
			break
		}
		a.warn("no state knows "+arn, "it may cost, and pulumi destroy will not remove it; what was deleted in the last hour may still be listed", "look at it, then delete it by hand, or bring it back: pulumi import")
	}
	if len(attached) > 0 {
		a.info("not compared: "+kinds(attached), "they come and go with their instance", "")
	}
}

// tagged lists the ARNs that carry the stack's tags.
func (c Cloud) tagged(ctx context.Context) ([]string, error) {
	filter := func(key, value string) types.TagFilter {
		return types.TagFilter{Key: &key, Values: []string{value}}
	}
	ctx, cancel := context.WithTimeout(ctx, 3*callBound)
	defer cancel()
	var arns []string
	client := resourcegroupstaggingapi.NewFromConfig(c.AWS)
	in := &resourcegroupstaggingapi.GetResourcesInput{
		TagFilters: []types.TagFilter{filter("project", settings.Project), filter("stack", settings.ShortStack(c.Stack)), filter("managed-by", "pulumi")}}
	for more := true; more; more = aws.ToString(in.PaginationToken) != "" {
		page, err := client.GetResources(ctx, in)
		if err != nil {
			return nil, err
		}
		in.PaginationToken = page.PaginationToken
		for _, r := range page.ResourceTagMappingList {
			arns = append(arns, aws.ToString(r.ResourceARN))
		}
	}
	slices.Sort(arns)
	return arns, nil
}

// strays are the instances that belong to no group: those of a group come and go with it.
func (c Cloud) strays(ctx context.Context, arns []string) (strays []string, err error) {
	groups := autoscaling.NewFromConfig(c.AWS)
	for batch := range slices.Chunk(arns, 50) { // as many as one call takes
		var ids []string
		for _, arn := range batch {
			ids = append(ids, arn[strings.LastIndexByte(arn, '/')+1:])
		}
		out, err := ask(ctx, groups.DescribeAutoScalingInstances, &autoscaling.DescribeAutoScalingInstancesInput{InstanceIds: ids})
		if err != nil {
			return nil, err
		}
		in := map[string]bool{}
		for _, i := range out.AutoScalingInstances {
			in[aws.ToString(i.InstanceId)] = true
		}
		for i, id := range ids {
			if !in[id] {
				strays = append(strays, batch[i])
			}
		}
	}
	return strays, nil
}

// kindOf is the service and the kind of a thing, such as "ec2 instance" or "sqs".
func kindOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6) // arn:aws:ec2:region:account:instance/i-1
	if len(parts) < 6 {
		return arn
	}
	if kind, _, ok := strings.Cut(parts[5], "/"); ok && !strings.Contains(kind, ":") {
		return parts[2] + " " + kind
	}
	return parts[2]
}

// kinds counts things by kind.
func kinds(arns []string) string {
	count := map[string]int{}
	for _, arn := range arns {
		count[kindOf(arn)]++
	}
	var parts []string
	for _, k := range slices.SortedFunc(maps.Keys(count), func(x, y string) int { return cmp.Or(count[y]-count[x], cmp.Compare(x, y)) }) {
		parts = append(parts, fmt.Sprintf("%d %s", count[k], k))
	}
	return strings.Join(parts, ", ")
}
