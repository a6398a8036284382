package cloudwatch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"strconv"
)

// Calculate evaluates an expression of CloudWatch's metric math over the values of its metrics in one period. NaN is a
// missing value, and what is computed from missing data is missing. Calculate knows what the program's alarms use; that
// grammar is a part of Go's. It returns an error for anything else.
func Calculate(expression string, values map[string]float64) (result float64, err error) {
	e, err := parser.ParseExpr(expression)
	if err == nil {
		result, err = calculate(e, values)
	}
	if err != nil {
		return 0, fmt.Errorf("expression %q: %w", expression, err)
	}
	return result, nil
}

func calculate(e ast.Expr, values map[string]float64) (float64, error) {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return calculate(e.X, values)
	case *ast.Ident:
		if v, known := values[e.Name]; known {
			return v, nil
		}
		return 0, fmt.Errorf("no metric has the id %s", e.Name)
	case *ast.BasicLit:
		return strconv.ParseFloat(e.Value, 64)
	case *ast.UnaryExpr:
		x, err := calculate(e.X, values)
		if e.Op == token.SUB {
			return -x, err
		}
	case *ast.BinaryExpr:
		x, err := calculate(e.X, values)
		if err != nil {
			return 0, err
		}
		y, err := calculate(e.Y, values)
		if err != nil {
			return 0, err
		}
		return operate(e.Op, x, y)
	case *ast.CallExpr:
		return call(fmt.Sprint(e.Fun), e.Args, values)
	}
	return 0, fmt.Errorf("a part of CloudWatch's metric math that is not implemented: %T", e)
}

func operate(op token.Token, x, y float64) (float64, error) {
	switch op {
	case token.ADD:
		return x + y, nil
	case token.SUB:
		return x - y, nil
	case token.MUL:
		return x * y, nil
	case token.QUO:
		return x / y, nil
	case token.GTR, token.LSS:
		if op == token.GTR && x > y || op == token.LSS && x < y {
			return 1, nil
		}
		return 0 * (x + y), nil // missing stays missing
	}
	return 0, fmt.Errorf("an operator of CloudWatch's metric math that is not implemented: %s", op)
}

// call evaluates FILL(metric, instead) or IF(condition, then, else).
func call(name string, args []ast.Expr, values map[string]float64) (float64, error) {
	if want := map[string]int{"FILL": 2, "IF": 3}[name]; want == 0 || len(args) != want {
		return 0, fmt.Errorf("a function of CloudWatch's metric math that is not implemented: %s with %d arguments",
			name, len(args))
	}
	first, err := calculate(args[0], values)
	switch {
	case err != nil, name == "FILL" && !math.IsNaN(first), name == "IF" && math.IsNaN(first):
		return first, err
	case name == "IF" && first == 0:
		return calculate(args[2], values)
	}
	return calculate(args[1], values)
}
