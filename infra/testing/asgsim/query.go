package asgsim

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/aws/smithy-go"
)

// operation serves an operation of the Query protocol: it returns the elements of the response.
type operation func(url.Values) ([]byte, error)

// add adds an operation that takes and returns the SDK's types; its name is that of its input.
func add[I any](to map[string]operation, do func(*I) (any, error)) {
	name := strings.TrimSuffix(reflect.TypeFor[I]().Name(), "Input")
	to[name] = func(f url.Values) ([]byte, error) {
		in := new(I)
		if err := Decode(f, in); err != nil {
			return nil, err
		}
		out, err := do(in)
		if err != nil {
			return nil, err
		}
		return encode(name, out)
	}
}

// Decode sets in, a pointer to one of the SDK's input types, to the parameters of a call in the Query protocol.
func Decode(f url.Values, in any) error { return decode(f, "", reflect.ValueOf(in).Elem()) }

// WriteResponse answers an operation with one of the SDK's output types, or with an error.
func WriteResponse(w http.ResponseWriter, operation string, out any, err error) {
	var body []byte
	if err == nil {
		body, err = encode(operation, out)
	}
	write(w, body, err)
}

func encode(operation string, out any) ([]byte, error) {
	return marshal(operation+"Result", element{reflect.ValueOf(cmp.Or(out, any("")))})
}

func write(w http.ResponseWriter, body []byte, err error) {
	w.Header().Set("Content-Type", "text/xml")
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		body = errorResponse(err)
	}
	fmt.Fprintf(w, "<Response>%s</Response>", body)
}

// decode sets v, of one of the SDK's types, to the parameters whose names begin with prefix, such as
// Preferences.BakeTime or InstanceIds.member.1.
func decode(f url.Values, prefix string, v reflect.Value) error {
	switch v.Kind() {
	case reflect.Pointer:
		if !given(f, prefix) {
			return nil
		}
		v.Set(reflect.New(v.Type().Elem()))
		return decode(f, prefix, v.Elem())
	case reflect.Struct:
		var errs []error
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() {
				errs = append(errs, decode(f, strings.TrimPrefix(prefix+"."+field.Name, "."), v.Field(i)))
			}
		}
		return errors.Join(errs...)
	case reflect.Slice:
		for n := 1; ; n++ {
			name := prefix + ".member." + strconv.Itoa(n)
			if !given(f, name) {
				return nil
			}
			member := reflect.New(v.Type().Elem()).Elem()
			if err := decode(f, name, member); err != nil {
				return err
			}
			v.Set(reflect.Append(v, member))
		}
	case reflect.Map: // of texts, as SNS has
		for n := 1; given(f, fmt.Sprintf("%s.entry.%d", prefix, n)); n++ {
			if v.IsNil() {
				v.Set(reflect.MakeMap(v.Type()))
			}
			value := reflect.New(v.Type().Elem()).Elem()
			if err := decode(f, fmt.Sprintf("%s.entry.%d.value", prefix, n), value); err != nil {
				return err
			}
			v.SetMapIndex(reflect.ValueOf(f.Get(fmt.Sprintf("%s.entry.%d.key", prefix, n))), value)
		}
		return nil
	case reflect.String:
		v.SetString(f.Get(prefix))
		return nil
	}
	if !f.Has(prefix) {
		return nil // a number or a truth value with a default
	}
	if _, err := fmt.Sscan(f.Get(prefix), v.Addr().Interface()); err != nil {
		return invalid("%s: %v", prefix, err)
	}
	return nil
}

// given reports whether f has a parameter of that name, or members of it.
func given(f url.Values, name string) bool {
	for p := range f {
		if p == name || strings.HasPrefix(p, name+".") {
			return true
		}
	}
	return false
}

// element encodes a value of one of the SDK's types as XML: elements have the names of fields, every item of a list is
// an element "member", and every item of a map of texts an element "entry". Clients do not regard case.
type element struct{ reflect.Value }

// MarshalXML implements xml.Marshaler.
func (v element) MarshalXML(e *xml.Encoder, start xml.StartElement) error {
	of := reflect.Indirect(v.Value)
	_, isTime := of.Interface().(time.Time)
	if isTime || of.Kind() != reflect.Struct && of.Kind() != reflect.Slice && of.Kind() != reflect.Map {
		return e.EncodeElement(of.Interface(), start)
	}
	errs := []error{e.EncodeToken(start)}
	child := func(name string, v reflect.Value) {
		errs = append(errs, e.EncodeElement(element{v}, xml.StartElement{Name: xml.Name{Local: name}}))
	}
	switch of.Kind() {
	case reflect.Slice:
		for i := range of.Len() {
			child("member", of.Index(i))
		}
	case reflect.Map:
		for _, key := range of.MapKeys() {
			child("entry", reflect.ValueOf(struct{ Key, Value string }{key.String(), of.MapIndex(key).String()}))
		}
	default:
		for i := range of.NumField() {
			if field := of.Type().Field(i); field.IsExported() && !of.Field(i).IsZero() {
				child(field.Name, of.Field(i))
			}
		}
	}
	return errors.Join(append(errs, e.EncodeToken(start.End()))...)
}

func marshal(name string, v any) ([]byte, error) {
	var b bytes.Buffer
	err := xml.NewEncoder(&b).EncodeElement(v, xml.StartElement{Name: xml.Name{Local: name}})
	return b.Bytes(), err
}

// Handler serves the implemented operations of Auto Scaling, Elastic Load Balancing and EC2, by the parameter Action of
// the Query protocol, and of CloudWatch, by path. It does not check signatures.
func (s *Simulator) Handler() http.Handler {
	operations := map[string]operation{
		"DescribeLaunchTemplateVersions": s.describeTemplateVersions,
		"GetConsoleOutput":               s.getConsoleOutput,
	}
	add(operations, s.describeGroups)
	add(operations, s.describeActivities)
	add(operations, s.describeRefreshes)
	add(operations, s.describeTargets)
	add(operations, s.updateGroup)
	add(operations, s.completeLifecycleAction)
	add(operations, s.terminateInstance)
	add(operations, s.StartInstanceRefresh)
	add(operations, s.RollbackInstanceRefresh)
	add(operations, s.CancelInstanceRefresh)
	add(operations, s.suspendProcesses)
	add(operations, s.resumeProcesses)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, cloudWatchPath) {
			s.serveCloudWatch(w, r)
			return
		}
		name := r.PostFormValue("Action")
		do := operations[name]
		if do == nil {
			do = func(url.Values) ([]byte, error) {
				return nil, &smithy.GenericAPIError{Code: "InvalidAction", Message: "the simulator does not implement " + name}
			}
		}
		body, err := do(r.PostForm)
		write(w, body, err)
	})
}

// errorResponse returns the elements of an error, for Auto Scaling and for EC2, which wraps it once more.
func errorResponse(err error) []byte {
	api := &smithy.GenericAPIError{Code: "InternalFailure", Message: err.Error()}
	errors.As(err, &api)
	b, _ := marshal("Error", struct{ Code, Message string }{api.Code, api.Message}) // strings can be encoded
	return fmt.Appendf(b, "<Errors>%s</Errors>", b)
}
