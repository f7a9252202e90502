package main

import "maps"

// What Grafana calls things, as far as the dashboards use it: the JSON model of
// version 11, which later ones read. Names and units are Grafana's.

type object = map[string]any

// A dashboard is one page: rows of panels.
type dashboard struct {
	uid, title, description string
	variables               []object // besides the data source, the job and the gateways
	rows                    []row
}

type row struct {
	title  string
	panels []panel
}

// A panel shows what queries return. Panels stand side by side, as far as 24
// columns are enough.
type panel struct {
	kind, title, description string
	width, height            int
	queries                  []query
	defaults                 object // of its fields: unit, thresholds, mappings, …
	options                  object
	transformations          []object
}

type query struct {
	expr, legend string
	format       string // "time_series" if empty, "table" or "heatmap"
	instant      bool
}

const (
	tag     = "exitgate"
	columns = 24
)

var source = object{"type": "prometheus", "uid": "${datasource}"}

// model returns the dashboard as Grafana reads it.
func (d dashboard) model() object {
	return object{
		"uid": d.uid, "title": d.title, "description": d.description, "tags": []string{tag},
		"schemaVersion": 39, "version": 1, "editable": true, "graphTooltip": 1, // a crosshair in all panels
		"refresh": "30s", "time": object{"from": "now-6h", "to": "now"}, "timezone": "",
		"links": []object{{
			"type": "dashboards", "tags": []string{tag}, "title": "exitgate", "icon": "", "tooltip": "", "asDropdown": false,
			"includeVars": true, "keepTime": true, "targetBlank": false,
		}},
		"annotations": object{"list": []object{{
			"name": "Policy applied", "datasource": source, "enable": true, "iconColor": "blue",
			"expr": policyApplied, "step": "60s", "titleFormat": "A policy was applied", "useValueForTime": true,
		}}},
		"templating": object{"list": append([]object{
			{"type": "datasource", "name": "datasource", "label": "Prometheus", "query": "prometheus"},
			valuesOf("job", "Job", "exitgate_build_info", false),
			valuesOf("instance", "Gateways", `exitgate_build_info{job="$job"}`, true),
		}, d.variables...)},
		"panels": d.layOut(),
	}
}

// valuesOf is a variable of the values that a label has.
func valuesOf(label, title, series string, several bool) object {
	query := "label_values(" + series + ", " + label + ")"
	v := object{
		"type": "query", "name": label, "label": title, "datasource": source, "definition": query,
		"query": object{"query": query, "refId": label}, "refresh": 2, "sort": 1, "multi": several, "includeAll": several,
	}
	if several {
		v["allValue"] = ".*"
		v["current"] = object{"text": []string{"All"}, "value": []string{"$__all"}}
	}
	return v
}

// layOut places rows and panels on the grid.
func (d dashboard) layOut() (all []object) {
	y := 0
	add := func(o object, x, width, height int) {
		o["id"], o["gridPos"] = len(all)+1, object{"x": x, "y": y, "w": width, "h": height}
		all = append(all, o)
	}
	for _, r := range d.rows {
		add(object{"type": "row", "title": r.title, "collapsed": false, "panels": []object{}}, 0, columns, 1)
		y++
		x, tallest := 0, 0
		for _, p := range r.panels {
			if x+p.width > columns {
				x, y, tallest = 0, y+tallest, 0
			}
			add(p.model(), x, p.width, p.height)
			x, tallest = x+p.width, max(tallest, p.height)
		}
		y += tallest
	}
	return all
}

func (p panel) model() object {
	targets := make([]object, len(p.queries))
	for i, q := range p.queries {
		targets[i] = object{
			"refId": string(rune('A' + i)), "datasource": source, "editorMode": "code", "expr": q.expr, "legendFormat": q.legend,
			"format": orElse(q.format, "time_series"), "instant": q.instant, "range": !q.instant,
		}
	}
	return object{
		"type": p.kind, "title": p.title, "description": p.description, "datasource": source, "targets": targets,
		"fieldConfig": object{"defaults": p.defaults, "overrides": []object{}}, "options": p.options,
		"transformations": p.transformations,
	}
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// A threshold is a value from which on a colour holds.
type threshold struct {
	from   float64
	colour string
}

// Colours that people tell apart who don't see red and green.
const (
	good = "blue"
	warn = "yellow"
	bad  = "dark-orange"
)

// colours makes what is below all thresholds good.
func colours(of ...threshold) object {
	steps := []object{{"color": good, "value": nil}}
	for _, t := range of {
		steps = append(steps, object{"color": t.colour, "value": t.from})
	}
	return object{"mode": "absolute", "steps": steps}
}

var (
	neutral   = colours()
	mustBeNil = colours(threshold{1, bad})
	mustBeOne = object{"mode": "absolute", "steps": []object{{"color": bad, "value": nil}, {"color": good, "value": 1}}}
)

// stat is one number, or one a series.
func stat(title, description, unit string, thresholds object, queries ...query) panel {
	return panel{
		kind: "stat", title: title, description: description, width: 4, height: 4, queries: queries,
		defaults: object{"unit": unit, "thresholds": thresholds, "color": object{"mode": "thresholds"}, "noValue": "no data", "mappings": []object{}},
		options: object{
			"reduceOptions": object{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
			"colorMode":     "value", "graphMode": "none", "justifyMode": "auto", "orientation": "auto", "textMode": "auto",
			"wideLayout": true, "showPercentChange": false, "percentChangeColorMode": "standard",
		},
	}
}

// series are lines over time.
func series(title, description, unit string, queries ...query) panel {
	return panel{
		kind: "timeseries", title: title, description: description, width: 12, height: 8, queries: queries,
		defaults: object{
			"unit": unit, "min": 0, "color": object{"mode": "palette-classic"}, "thresholds": neutral, "mappings": []object{},
			"custom": object{
				"drawStyle": "line", "lineWidth": 1, "fillOpacity": 8, "showPoints": "auto", "pointSize": 4, "spanNulls": false,
				"axisPlacement": "auto", "scaleDistribution": object{"type": "linear"}, "stacking": object{"mode": "none", "group": "A"},
			},
		},
		options: object{
			"legend":  object{"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []string{}},
			"tooltip": object{"mode": "multi", "sort": "desc"},
		},
	}
}

// table has a line for each series, a column for each label, and the value under a
// name of its own. Columns that say nothing are left out.
func table(title, description, unit, value, expr string) panel {
	return panel{
		kind: "table", title: title, description: description, width: 12, height: 8,
		queries:  []query{{expr: expr, format: "table", instant: true}},
		defaults: object{"unit": unit, "thresholds": neutral, "mappings": []object{}, "custom": object{"align": "auto", "filterable": true, "inspect": false}},
		options:  object{"showHeader": true, "frameIndex": 0, "cellHeight": "sm", "footer": object{"show": false, "reducer": []string{}}},
		transformations: []object{{"id": "organize", "options": object{
			"excludeByName": object{"Time": true, "__name__": true},
			"renameByName":  object{"Value": value},
		}}},
	}
}

// heatmap is a histogram over time.
func heatmap(title, description, unit, expr string) panel {
	return panel{
		kind: "heatmap", title: title, description: description, width: 12, height: 8,
		queries:  []query{{expr: expr, legend: "{{le}}", format: "heatmap"}},
		defaults: object{"custom": object{"scaleDistribution": object{"type": "linear"}}},
		options: object{
			"calculate": false, "cellGap": 1, "showValue": "never", "yAxis": object{"unit": unit, "axisPlacement": "left"},
			"rowsFrame": object{"layout": "auto"}, "color": object{"mode": "scheme", "scheme": "Blues", "fill": "blue", "steps": 64, "exponent": 0.5, "scale": "exponential", "reverse": false}, "exemplars": object{"color": "rgba(0,0,0,0)"},
			"filterValues": object{"le": 1e-9}, "legend": object{"show": true}, "tooltip": object{"mode": "single", "yHistogram": false},
		},
	}
}

// states show what each series was, over time.
func states(title, description string, mappings []object, queries ...query) panel {
	return panel{
		kind: "state-timeline", title: title, description: description, width: columns, height: 8, queries: queries,
		defaults: object{
			"mappings": mappings, "thresholds": neutral, "color": object{"mode": "thresholds"},
			"custom": object{"fillOpacity": 70, "lineWidth": 0},
		},
		options: object{
			"mergeValues": true, "showValue": "auto", "alignValue": "left", "rowHeight": 0.9,
			"legend": object{"displayMode": "list", "placement": "bottom", "showLegend": false, "calcs": []string{}}, "tooltip": object{"mode": "single", "sort": "none"},
		},
	}
}

// wide gives a panel another width, in columns.
func (p panel) wide(width int) panel {
	p.width = width
	return p
}

// with adds to what holds for a panel's fields.
func (p panel) with(defaults object) panel {
	p.defaults = maps.Clone(p.defaults)
	maps.Copy(p.defaults, defaults)
	return p
}
