package main

import (
	"fmt"
	"strings"
)

// of selects a metric of the gateways that are chosen.
func of(metric string, matchers ...string) string {
	return metric + "{" + strings.Join(append([]string{`job="$job"`, `instance=~"$instance"`}, matchers...), ",") + "}"
}

// rate is how often a counter counts, in a second.
func rate(metric string, matchers ...string) string {
	return "rate(" + of(metric, matchers...) + "[$__rate_interval])"
}

func sumBy(labels, expr string) string { return "sum by (" + labels + ") (" + expr + ")" }
func maxBy(labels, expr string) string { return "max by (" + labels + ") (" + expr + ")" }

// orZero is an expression that is nothing where nothing is the matter, made 0 there:
// but not where no gateway can be asked.
func orZero(expr string) string { return expr + " or 0 * count(" + of("exitgate_build_info") + ")" }

// distinct counts values of a label.
func distinct(label, expr string) string {
	return orZero("count(count by (" + label + ") (" + expr + "))")
}

// each is a query with a series for each value of labels.
func each(expr string, labels ...string) query {
	for i, l := range labels {
		labels[i] = "{{" + l + "}}"
	}
	return query{expr: expr, legend: strings.Join(labels, " ")}
}

// one is a query with one series.
func one(name, expr string) query { return query{expr: expr, legend: name} }

// quantiles of the durations of an app's requests.
func quantiles(by string, matchers ...string) []query {
	var all []query
	for _, q := range []struct{ value, name string }{{"0.5", "half"}, {"0.95", "95%"}, {"0.99", "99%"}} {
		labels, name := "le", q.name
		if by != "" {
			labels, name = by+", le", "{{"+by+"}} "+q.name
		}
		all = append(all, one(name, "histogram_quantile("+q.value+", "+sumBy(labels, rate("exitgate_request_duration_seconds_bucket", matchers...))+")"))
	}
	return all
}

const (
	served  = `action!="refuse"`
	refused = `action="refuse"`
	lasting = `code!="1xx"` // no WebSocket, whose duration is none of the app's
	market  = `jurisdiction="$jurisdiction"`
)

var policyApplied = "1000 * max by (job) (" + of("exitgate_policy_apply_timestamp_seconds") + ")"

// phases are numbered by how much they restrict.
var phases = []struct{ name, colour string }{
	{"open", "blue"}, {"announced", "light-blue"}, {"closed-to-new", "yellow"}, {"wind-down", "orange"}, {"withdrawn", "dark-red"},
}

func phaseNames() []object {
	names := make(object)
	for i, p := range phases {
		names[fmt.Sprint(i)] = object{"index": i, "text": p.name, "color": p.colour}
	}
	return []object{{"type": "value", "options": names}}
}

// phaseOf is the number of the phase that each market of the policy is in: the most
// restrictive, where gateways differ.
func phaseOf(matchers ...string) string {
	terms := make([]string, len(phases))
	for i, p := range phases {
		terms[i] = fmt.Sprint(i, " * ", of("exitgate_jurisdiction_phase", append([]string{`phase="` + p.name + `"`}, matchers...)...))
	}
	return maxBy("jurisdiction", strings.Join(terms, " or "))
}

var yesOrNo = []object{{"type": "value", "options": object{
	"0": object{"index": 0, "text": "no", "color": bad}, "1": object{"index": 1, "text": "yes", "color": good},
}}}

// orDash is for what may not be: a step, a change that waits.
var orDash = object{"noValue": "–"}

func dashboards() []dashboard {
	return []dashboard{overview(), marketPage(), performance(), guarantees(), ledger()}
}

func overview() dashboard {
	toMarket := object{"links": []object{{"title": "This market", "url": "/d/exitgate-market?${job:queryparam}&${instance:queryparam}&var-jurisdiction=${__field.labels.jurisdiction}&${__url_time_range}"}}}
	return dashboard{
		uid: "exitgate-overview", title: "exitgate: overview", description: "What is served and refused, where, and whether anything is wrong.",
		rows: []row{
			{"Now", []panel{
				stat("Gateways up", "Gateways that answer when they are scraped.", "none", mustBeOne, one("", `sum(up{job="$job",instance=~"$instance"})`)),
				stat("Alerts", "Alerts of exitgate that fire, info left out.", "none", mustBeNil,
					one("", orZero(`count(ALERTS{alertname=~"Exitgate.*",alertstate="firing",severity!="info"})`))),
				stat("Restricted markets", "Markets of the policy that aren't open.", "none", neutral,
					one("", distinct("jurisdiction", of("exitgate_jurisdiction_phase", `phase!="open"`)+" == 1"))),
				stat("Not enforced", "Markets that the policy restricts, and that the databases of some gateway can't find.", "none", mustBeNil,
					one("", distinct("jurisdiction", of("exitgate_jurisdiction_unenforced")+" == 1"))),
				stat("Guarantees broken", "Flags by market that were below a guarantee, until a revision acknowledges it.", "none", mustBeNil,
					one("", orZero("count(count by (jurisdiction, flag) ("+of("exitgate_guarantee_breached")+" == 1))"))),
				stat("Next step", "When the next scheduled change of a phase is due.", "dateTimeFromNow", neutral,
					one("", "1000 * min("+of("exitgate_next_transition_timestamp_seconds")+" > 0)")).with(orDash),
				stat("Served", "Requests that were forwarded, a second.", "reqps", neutral, one("", "sum("+rate("exitgate_decisions_total", served)+")")),
				stat("Refused", "Requests that were refused, a second.", "reqps", neutral, one("", "sum("+rate("exitgate_decisions_total", refused)+")")),
				stat("Failing", "Share of what is served that fails.", "percentunit", colours(threshold{0.001, warn}, threshold{0.01, bad}),
					one("", "sum("+rate("exitgate_request_duration_seconds_count", served, `code="5xx"`)+") / sum("+rate("exitgate_request_duration_seconds_count", served)+")")),
				stat("Takes at most, for 95%", "Time to the end of an answer, of what is served.", "s", colours(threshold{1, warn}),
					one("", "histogram_quantile(0.95, "+sumBy("le", rate("exitgate_request_duration_seconds_bucket", served, lasting))+")")),
				stat("Changes waiting", "Changes of the policy that wait for approvals.", "none", colours(threshold{1, warn}), one("", "max("+of("exitgate_changes_pending")+")")),
				stat("Policies in use", "More than one: gateways differ.", "none", colours(threshold{2, bad}), one("", "count(count by (sha256) ("+of("exitgate_policy_info")+"))")),
			}},
			{"Markets", []panel{
				states("Phases", "What each market of the policy gets.", phaseNames(), each(phaseOf(), "jurisdiction")),
				series("Requests by what was done", "would-refuse: the policy only observes.", "reqps", each(sumBy("action", rate("exitgate_decisions_total")), "action")),
				series("Refused, by market", "The ten with the most.", "reqps",
					each("topk(10, "+sumBy("jurisdiction", rate("exitgate_decisions_total", refused))+" > 0)", "jurisdiction")).with(toMarket),
				series("Served, by market", "The ten with the most.", "reqps",
					each("topk(10, "+sumBy("jurisdiction", rate("exitgate_decisions_total", served))+" > 0)", "jurisdiction")).with(toMarket),
				table("Refused in the time shown, by market and why", "The reason is the rule of the policy by which it is.", "short", "requests",
					sumBy("jurisdiction, phase, reason", "increase("+of("exitgate_decisions_total", refused)+"[$__range])")+" > 0"),
			}},
			{"Alerts", []panel{
				table("Alerts that fire", "What each means and what to do is in docs/alerts.md.", "none", "firing",
					`count by (alertname, severity, jurisdiction, instance) (ALERTS{alertname=~"Exitgate.*",alertstate="firing"})`).wide(columns),
			}},
		},
	}
}

func marketPage() dashboard {
	decisions := func(more ...string) string {
		return rate("exitgate_decisions_total", append([]string{market}, more...)...)
	}
	return dashboard{
		uid: "exitgate-market", title: "exitgate: market", description: "One market: what it gets, what was served and refused there, and the law.",
		variables: []object{valuesOf("jurisdiction", "Market", `exitgate_decisions_total{job="$job"}`, false)},
		rows: []row{
			{"$jurisdiction", []panel{
				stat("Phase", "Nothing, if the policy doesn't name it: then its group or the default governs.", "none", neutral, one("", phaseOf(market))).
					with(object{"mappings": phaseNames(), "noValue": "not named"}),
				stat("Not enforced", "1 if the policy restricts it and the databases of some gateway can't find it.", "none", mustBeNil,
					one("", orZero("max("+of("exitgate_jurisdiction_unenforced", market)+")"))),
				stat("Guarantees broken", "Flags that were below a guarantee here.", "none", mustBeNil,
					one("", orZero("count(count by (flag) ("+of("exitgate_guarantee_breached", market)+" == 1))"))),
				stat("Served", "In the time shown.", "short", neutral, one("", "sum(increase("+of("exitgate_decisions_total", market, served)+"[$__range]))")),
				stat("Refused", "In the time shown.", "short", neutral, one("", "sum(increase("+of("exitgate_decisions_total", market, refused)+"[$__range]))")),
				stat("Share refused", "Of what was decided in the time shown.", "percentunit", neutral,
					one("", orZero("sum(increase("+of("exitgate_decisions_total", market, refused)+"[$__range])) / (sum(increase("+of("exitgate_decisions_total", market)+"[$__range])) > 0)"))),
			}},
			{"Requests", []panel{
				series("By what was done", "would-refuse: the policy only observes.", "reqps", each(sumBy("action", decisions()), "action")),
				series("By phase and why", "The phase that the request's class had, and the rule of the policy.", "reqps", each(sumBy("action, phase, reason", decisions()), "action", "phase", "reason")),
				series("Refused, by gateway", "All gateways that get requests from here refuse them, or none does.", "reqps", each(sumBy("instance", decisions(refused)), "instance")),
				series("Served, by gateway", "In a withdrawn market these are the essential pages alone.", "reqps", each(sumBy("instance", decisions(served)), "instance")),
				states("Phase", "What this market gets by the policy.", phaseNames(), each(phaseOf(market), "jurisdiction")),
			}},
			{"Law and promise", []panel{
				table("Demands", "Those that may be named, with when they come, or came, into force. 1970: no date is known.", "dateTimeAsIso", "in force",
					"1000 * "+maxBy("demand", of("exitgate_demand_in_force_timestamp_seconds", market))),
				table("Would be broken", "1 for a demand that doesn't bind yet, and if it did, something that is served would have to be withdrawn.", "none", "unmet",
					maxBy("demand, stage", of("exitgate_demand_unmet", market))),
			}},
		},
	}
}

func performance() dashboard {
	app := `app=~"$app"`
	count := func(more ...string) string {
		return rate("exitgate_request_duration_seconds_count", append([]string{app}, more...)...)
	}
	upstreams := func(more ...string) string { return rate("exitgate_upstream_requests_total", more...) }
	burn := func(kind, window, budget string) query {
		return one("{{app}} "+window, "app:exitgate_"+kind+":ratio_rate"+window+`{job="$job",app=~"$app"} / `+budget)
	}
	return dashboard{
		uid: "exitgate-performance", title: "exitgate: performance and upstreams", description: "How long requests take, what fails, upstreams, connections and the machine.",
		variables: []object{valuesOf("app", "App", `exitgate_request_duration_seconds_count{job="$job"}`, true)},
		rows: []row{
			{"Objectives", []panel{
				series("Failures: how fast the budget is used", "1 uses it up in 30 days; alerts begin at 1 over three days, and 14.4 over an hour. By objectives.yml.", "none",
					burn("errors", "5m", "0.001"), burn("errors", "1h", "0.001"), burn("errors", "6h", "0.001"), burn("errors", "3d", "0.001")),
				series("Longer than a second: how fast the budget is used", "The same for latency, without WebSockets.", "none",
					burn("slow", "5m", "0.01"), burn("slow", "1h", "0.01"), burn("slow", "6h", "0.01"), burn("slow", "3d", "0.01")),
			}},
			{"Requests", []panel{
				series("Duration of what is served", "From a request's header to the end of its answer; without WebSockets.", "s", quantiles("", app, served, lasting)...),
				heatmap("Duration of what is served", "How many requests a second took how long.", "s", sumBy("le", rate("exitgate_request_duration_seconds_bucket", app, served, lasting))),
				series("Duration by app", "", "s", quantiles("app", app, served, lasting)[1:2]...),
				series("Duration of refusals", "The gateway's own answers.", "s", quantiles("", app, refused)...),
				series("Answers by class", "0: the client got none.", "reqps", each(sumBy("action, code", count()), "action", "code")),
				series("Share that fails, by app", "5xx, whoever answered it.", "percentunit",
					each(sumBy("app", count(served, `code="5xx"`))+" / ("+sumBy("app", count(served))+" > 0)", "app")),
				series("Rejected before any decision", "Malformed or ambiguous requests, unknown hosts.", "reqps", each(sumBy("reason", rate("exitgate_requests_rejected_total"))+" > 0", "reason")).wide(columns),
			}},
			{"Upstreams", []panel{
				series("Requests by upstream", "", "reqps", each(sumBy("upstream", upstreams()), "upstream")),
				series("Share that fails, by upstream", "5xx, and no answer.", "percentunit",
					each("("+sumBy("upstream", upstreams(`code=~"0|5.."`))+" or 0 * "+sumBy("upstream", upstreams())+") / ("+sumBy("upstream", upstreams())+" > 0)", "upstream")),
				series("Answers by upstream and status", "502, 504: the gateway's own; 499: the client left before.", "reqps", each(sumBy("upstream, code", upstreams())+" > 0", "upstream", "code")).wide(columns),
			}},
			{"Connections", []panel{
				series("Open", "", "none", each(sumBy("protocol", of("exitgate_connections_active")), "protocol")),
				series("Cut, and failed", "Cut: what was under way in a market that was restricted.", "cps",
					one("cut", "sum("+rate("exitgate_connections_severed_total")+")"),
					one("TLS handshakes", "sum("+rate("exitgate_tls_handshake_errors_total")+")"),
					one("no HTTP", "sum("+rate("exitgate_connection_errors_total")+")")),
				series("Purges of caches in front", "Only where the settings have some.", "cps", each(sumBy("result", rate("exitgate_cache_purges_total")), "result")),
				series("Headers of senders that aren't trusted; keys of caches for another place", "Both say that what is in front may not be set up right.", "reqps",
					one("forwarding headers", "sum("+rate("exitgate_forwarding_headers_ignored_total")+")"),
					one("cache keys", "sum("+rate("exitgate_cache_keys_other_total")+")")),
			}},
			{"Machine", []panel{
				series("CPU", "Cores in use.", "none", each(rate("process_cpu_seconds_total"), "instance")),
				series("Memory", "Resident.", "bytes", each(of("process_resident_memory_bytes"), "instance")),
				series("Open files", "Of those that the process may open.", "percentunit", each(of("process_open_fds")+" / "+of("process_max_fds"), "instance")),
				series("Goroutines", "", "none", each(of("go_goroutines"), "instance")),
				table("Certificates", "When each ends. 1970: none could be obtained yet.", "dateTimeAsIso", "ends", "1000 * "+maxBy("instance, host", of("exitgate_certificate_expiry_timestamp_seconds"))),
				stat("Panics", "Bugs; their stacks are in the log.", "none", mustBeNil, one("", "sum("+of("exitgate_panics_total")+")")),
				stat("Files not taken", "Changed certificates and credentials that were not taken into use, and certificates that could not be obtained, since the start.", "none", mustBeNil,
					one("certificates", "sum("+of("exitgate_certificate_reload_failures_total")+")"),
					one("obtained", "sum("+of("exitgate_certificate_obtain_failures_total")+")"),
					one("credentials", "sum("+of("exitgate_app_credentials_reload_failures_total")+")")).wide(8),
			}},
		},
	}
}

func guarantees() dashboard {
	return dashboard{
		uid: "exitgate-guarantees", title: "exitgate: flags and guarantees", description: "Whether the promise holds: guarantees, flags, laws, and whether clients are located.",
		rows: []row{
			{"The promise", []panel{
				stat("Guarantees broken", "Flags by market that were below a guarantee, until a revision acknowledges it. These markets are withdrawn.", "none", mustBeNil,
					one("", orZero("count(count by (jurisdiction, flag) ("+of("exitgate_guarantee_breached")+" == 1))"))),
				stat("Forwarded of withdrawn markets", "Other requests than for essential pages, since the start: bugs.", "none", mustBeNil, one("", "sum("+of("exitgate_forwarded_withdrawn_total")+")")),
				stat("Refused where nothing is", "In the time shown, in a phase that refuses nothing: bugs.", "none", mustBeNil,
					one("", orZero("sum(increase("+of("exitgate_decisions_total", refused, `phase=~"open|announced"`)+"[$__range]))"))),
				stat("Laws that would be broken", "Demands that don't bind yet, and if they did, something that is served would have to be withdrawn.", "none", colours(threshold{1, warn}),
					one("", orZero("count(count by (demand, jurisdiction) ("+of("exitgate_demand_unmet")+" == 1))"))),
				stat("Not enforced", "Markets that the policy restricts, and that the databases of some gateway can't find.", "none", mustBeNil,
					one("", distinct("jurisdiction", of("exitgate_jurisdiction_unenforced")+" == 1"))),
				stat("Only observing", "Gateways whose policy refuses nobody.", "none", colours(threshold{1, warn}),
					one("", orZero("count("+of("exitgate_policy_info", `mode="observe"`)+")"))),
				table("Demands", "Those that may be named, with when they come, or came, into force. 1970: no date is known.", "dateTimeAsIso", "in force",
					"1000 * "+maxBy("demand, jurisdiction", of("exitgate_demand_in_force_timestamp_seconds"))),
				table("Demands that don't bind yet", "1: something that is served would have to be withdrawn if it did.", "none", "unmet",
					maxBy("demand, jurisdiction, stage", of("exitgate_demand_unmet"))),
				table("Values that were withheld", "Below a guarantee: for a market, once, or for one user of an app, each time; since the start.", "none", "values",
					sumBy("jurisdiction, flag", of("exitgate_guarantee_breaches_total"))),
				table("Not enforced", "Give these gateways a database that has the place, or withdraw what is around it.", "none", "not enforced",
					of("exitgate_jurisdiction_unenforced")+" == 1"),
			}},
			{"Flags", []panel{
				series("Age of the last good answers", "By source. What was known stays.", "s", each("time() - ("+of("exitgate_flags_last_success_timestamp_seconds")+" > 0)", "instance", "provider")),
				series("Answers that are not accepted", "Flags by market whose older value stays.", "none", each(of("exitgate_flags_not_accepted"), "instance")),
			}},
			{"Where clients are", []panel{
				series("Clients located", "unlocated: in no country that the database knows.", "reqps", each(sumBy("result", rate("exitgate_geo_lookups_total")), "result")),
				table("Databases", "When each was built.", "dateTimeAsIso", "built", "1000 * "+of("exitgate_geo_database_build_timestamp_seconds")),
				stat("Held", "Databases that lack much of what the one before has: somebody has to decide.", "none", mustBeNil, one("", "sum("+of("exitgate_geo_database_held")+")")),
				stat("Too old", "Databases older than geo.max-age while a market is restricted.", "none", mustBeNil, one("", "sum("+of("exitgate_geo_database_overdue")+")")),
				stat("Not taken", "Changed databases that were not taken into use, since the start.", "none", mustBeNil, one("", "sum("+of("exitgate_geo_database_reload_failures_total")+")")),
				stat("Embedded", "Gateways that locate by the embedded database, which is for trying out.", "none", colours(threshold{1, warn}), one("", "sum("+of("exitgate_geo_database_embedded")+")")),
				stat("In doubt", "Gateways at which clients seem to be located by other addresses than their own.", "none", mustBeNil,
					one("", "sum("+maxBy("instance", of("exitgate_clients_doubtful"))+")")).wide(8),
			}},
		},
	}
}

func ledger() dashboard {
	return dashboard{
		uid: "exitgate-ledger", title: "exitgate: ledger", description: "Revisions, approvals and the record of them, on each gateway. What has no data is of gateways with a policy file.",
		rows: []row{
			{"Changes", []panel{
				stat("Revision", "In use; of a policy file, how many were applied since the start.", "none", neutral, each(maxBy("instance", of("exitgate_policy_revision")), "instance")).wide(8),
				stat("Applied", "When the policy in use was.", "dateTimeFromNow", neutral, each("1000 * "+of("exitgate_policy_apply_timestamp_seconds"), "instance")).wide(8),
				stat("Wrong policy", "Gateways whose newest policy could not be applied.", "none", mustBeNil,
					one("", "count("+of("exitgate_policy_last_apply_successful")+") - sum("+of("exitgate_policy_last_apply_successful")+")")),
				stat("Policies not applied", "In the time shown.", "none", mustBeNil, one("", "sum(increase("+of("exitgate_policy_apply_failures_total")+"[$__range]))")),
				stat("Changes waiting", "For approvals.", "none", colours(threshold{1, warn}), one("", "max("+of("exitgate_changes_pending")+")")),
				stat("First expires", "The change that waits and expires first.", "dateTimeFromNow", neutral, one("", "1000 * min("+of("exitgate_change_expiry_timestamp_seconds")+" > 0)")).with(orDash),
				stat("Emergencies unsigned", "Emergency withdrawals that nobody else has signed.", "none", mustBeNil, one("", "max("+of("exitgate_emergencies_unsigned")+")")),
				stat("Taken back", "Of them, those that their author took back alone, so that the market is open again.", "none", mustBeNil, one("", "max("+of("exitgate_emergencies_taken_back_unsigned")+")")),
				stat("Signature due", "Of the first emergency withdrawal.", "dateTimeFromNow", neutral, one("", "1000 * min("+of("exitgate_emergency_signature_due_timestamp_seconds")+" > 0)")).with(orDash),
				stat("Steps taken", "Times that scheduled changes took place, in the time shown, on the gateway with the most.", "none", neutral,
					one("", "max(increase("+of("exitgate_transitions_total")+"[$__range]))")),
				series("Revision by gateway", "Lines that part: a gateway doesn't get changes.", "none", each(of("exitgate_policy_revision"), "instance")).with(object{"decimals": 0, "min": nil}),
				table("Policy by gateway", "", "none", "in use", "count by (instance, sha256, mode) ("+of("exitgate_policy_info")+")"),
			}},
			{"The record", []panel{
				states("Reaches the ledger", "While it doesn't, a gateway goes by what it last knew.", yesOrNo, each(of("exitgate_ledger_connected"), "instance")),
				stat("Differing", "Records that the ledger has otherwise than a gateway's copy.", "none", mustBeNil, one("", "max("+of("exitgate_ledger_records_differing")+")")),
				stat("Refused", "Messages in the ledger that aren't valid records, since the start.", "none", mustBeNil, one("", "max("+of("exitgate_ledger_records_refused_total")+")")),
				stat("Skipped", "Records that only a newer exitgate knows.", "none", colours(threshold{1, warn}), one("", "max("+of("exitgate_ledger_records_unknown")+")")),
				stat("Not recorded yet", "What took place here and isn't in the ledger.", "none", colours(threshold{1, warn}), one("", "max("+of("exitgate_ledger_unrecorded")+")")),
				stat("Format", "The newest that all gateways read that are present; 0: not known.", "none", neutral, one("", "min("+of("exitgate_ledger_format_lowest")+")")),
				stat("Versions", "Of the gateways.", "none", neutral, one("{{version}}", "count by (version) ("+of("exitgate_build_info")+")")),
			}},
			{"What it stands on", []panel{
				series("Clock, ahead of the NATS servers'", "More than 5 s: nothing but withdrawals can be made there. 0 for a ledger in the process.", "s", each(of("exitgate_clock_offset_seconds"), "instance")).with(object{"min": nil}),
				series("Requests of unknown operators", "At the admin API.", "reqps", each(sumBy("instance", rate("exitgate_admin_authentication_failures_total")), "instance")),
				states("Room for a withdrawal", "no: the disk is full.", yesOrNo, each(of("exitgate_disk_reserve"), "instance")),
				states("Steps kept", "no: which steps were taken can't be written, or was damaged.", yesOrNo, each(of("exitgate_steps_kept"), "instance")),
				states("Caches purged", "no: they may serve what is refused. Only where the settings have purges.", yesOrNo, each("1 - "+of("exitgate_cache_purge_pending"), "instance")),
			}},
		},
	}
}
