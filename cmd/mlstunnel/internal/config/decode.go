package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// A decoder makes values out of YAML nodes and remembers where each came from. It goes on after an error, so
// that all of them are told at once.
type decoder struct {
	path  string
	lines map[string]int // by field
	errs  []error
}

// wrong notes an error of a field, which may be missing: then the line is that of what it is missing from.
func (d *decoder) wrong(field string, err error) {
	line := 0
	for at := field; line == 0; {
		line = d.lines[at]
		i := strings.LastIndexAny(at, ".[")
		if i < 0 {
			break
		}
		at = at[:i]
	}
	d.errs = append(d.errs, &Error{Path: d.path, Line: line, Field: field, Err: err})
}

var (
	errAlias    = errors.New("aliases are not supported")
	errEmpty    = errors.New("the file is empty")
	errTwoParts = errors.New("there is a second document")
	yamlLine    = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)
)

func (d *decoder) decode(text []byte, into *File) {
	documents := yaml.NewDecoder(bytes.NewReader(text))
	var document yaml.Node
	switch err := documents.Decode(&document); {
	case err == io.EOF:
		d.wrong("", errEmpty)
		return
	case err != nil:
		e := &Error{Path: d.path, Err: err}
		if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
			e.Line, _ = strconv.Atoi(m[1]) // no line if there is no number
			e.Err = errors.New(strings.TrimPrefix(err.Error(), m[0]))
		}
		d.errs = append(d.errs, e)
		return
	}
	if err := documents.Decode(new(yaml.Node)); err != io.EOF {
		d.wrong("", errTwoParts)
		return
	}
	d.value("", document.Content[0], reflect.ValueOf(into).Elem())
}

// value makes v of a node.
func (d *decoder) value(field string, n *yaml.Node, v reflect.Value) {
	if _, ok := d.lines[field]; !ok { // else it is the line of the key
		d.lines[field] = n.Line
	}
	if n.Kind == yaml.AliasNode {
		d.wrong(field, errAlias)
		return
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // as if it were not there
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(field, n, v.Elem())
	case reflect.Struct:
		d.mapping(field, n, v)
	case reflect.Slice:
		d.list(field, n, v)
	default:
		d.scalar(field, n, v)
	}
}

func (d *decoder) mapping(field string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.wrong(field, fmt.Errorf("wants keys and values, got %s", kindOf(n)))
		return
	}
	known := make(map[string]int)
	var names []string
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		known[name] = i
		names = append(names, name)
	}
	seen := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := join(field, key.Value)
		d.lines[at] = key.Line
		index, ok := known[key.Value]
		switch {
		case !ok:
			slices.Sort(names)
			d.wrong(at, fmt.Errorf("unknown key; known here: %s", strings.Join(names, ", ")))
		case seen[key.Value]:
			d.wrong(at, errors.New("is there twice"))
		default:
			seen[key.Value] = true
			d.value(at, value, v.Field(index))
		}
	}
}

func (d *decoder) list(field string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.wrong(field, fmt.Errorf("wants a list, got %s", kindOf(n)))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		d.value(fmt.Sprintf("%s[%d]", field, i), item, v.Index(i))
	}
}

func (d *decoder) scalar(field string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.ScalarNode {
		d.wrong(field, fmt.Errorf("wants one value, got %s", kindOf(n)))
		return
	}
	var err error
	switch p := v.Addr().Interface().(type) {
	case *string:
		*p = n.Value
	case *bool:
		if *p, err = strconv.ParseBool(n.Value); err != nil {
			err = fmt.Errorf("wants true or false, got %q", n.Value)
		}
	case *int:
		if *p, err = strconv.Atoi(n.Value); err != nil {
			err = fmt.Errorf("wants a whole number, got %q", n.Value)
		}
	case *int64:
		*p, err = parseSize(n.Value)
	case *time.Duration:
		if *p, err = time.ParseDuration(n.Value); err != nil {
			err = fmt.Errorf("wants a duration such as 30s or 5m, got %q", n.Value)
		}
	default:
		panic(fmt.Sprintf("config: no way to read a %T", p))
	}
	if err != nil {
		d.wrong(field, err)
	}
}

// parseSize reads a number, which may have a unit: KiB, MiB or GiB.
func parseSize(text string) (int64, error) {
	number, unit := text, int64(1)
	for i, suffix := range []string{"KiB", "MiB", "GiB"} {
		if rest, ok := strings.CutSuffix(text, suffix); ok {
			number, unit = strings.TrimSpace(rest), 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n*unit/unit != n {
		return 0, fmt.Errorf("wants a number such as 1048576, 64MiB or 1GiB, got %q", text)
	}
	return n * unit, nil
}

func join(field, key string) string {
	if field == "" {
		return key
	}
	return field + "." + key
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys and values"
	case yaml.SequenceNode:
		return "a list"
	}
	return strconv.Quote(n.Value)
}
