//! What is said of figures: who has won, what has changed, and when nothing can be said.

use serde_json::{Value, json};

use crate::date::civil;
use crate::fault::Fault;
use crate::host::Facts;
use crate::measure::{COUNT, Curve, Figure, Outcome};
use crate::plan::{Plan, Sizes, scenario};
use crate::progress::Estimate;
use crate::report::compare::{Change, Results, compare};
use crate::report::{Paper, html, json, rows, table, words};
use crate::run::{Chapter, Series, parlor_came_through};
use crate::servers::Kind;

/// A round in which a delivery cost so much.
fn round(cpu: f64) -> Result<Outcome, Fault> {
    let figures = vec![
        Figure::less("CPU/delivery", "µs", cpu),
        Figure::neither("clients", COUNT, 10.0),
        Figure::neither("max", "ms", 3.0 * cpu),
    ];
    Ok(Outcome { figures, ..Outcome::default() })
}

fn chapter(series: &[(Kind, &[f64])]) -> Chapter {
    let plan = Plan::new(scenario("fanout").unwrap(), &Sizes::default(), 10_000);
    let series = series.iter().map(|(kind, values)| {
        let rounds = values.iter().map(|value| round(*value)).collect();
        Series { kind: *kind, rounds }
    });
    Chapter { plan, series: series.collect() }
}

fn sentence(chapter: &Chapter) -> String {
    words::sentence(&rows(chapter)).unwrap()
}

fn printed(chapter: &Chapter) -> String {
    table::chapter(chapter, Paper { color: false })
}

fn disturb(chapter: &mut Chapter, server: usize) {
    let Ok(outcome) = &mut chapter.series[server].rounds[1] else { panic!("it has come through") };
    outcome.disturbed = Some("the host was not quiet: other programs took 40 % of a CPU".to_owned());
}

#[test]
fn the_summary_is_in_words() {
    let clear = chapter(&[
        (Kind::Parlor, &[1.0, 1.1, 0.9]),
        (Kind::Redis, &[2.0, 2.2, 1.8]),
        (Kind::Nats, &[4.0, 4.2, 3.8]),
    ]);
    assert_eq!(
        sentence(&clear),
        "parlor needs 0.50 of redis' and 0.25 (0.24 to 0.26) of nats's CPU for a delivery"
            .replace("nats's", "nats'")
    );
    let close = chapter(&[(Kind::Parlor, &[1.0, 1.1, 0.9]), (Kind::Floor, &[1.1, 1.0, 0.9])]);
    assert!(sentence(&close).contains("not told apart) of floor's CPU"), "{}", sentence(&close));
    let alone = chapter(&[(Kind::Parlor, &[0.125])]);
    assert_eq!(sentence(&alone), "parlor needs 0.125 µs of CPU for a delivery");
}

#[test]
fn a_winner_is_marked_only_beyond_the_spread() {
    let clear = chapter(&[(Kind::Parlor, &[1.0, 1.1, 0.9]), (Kind::Redis, &[2.0, 2.2, 1.8])]);
    assert!(printed(&clear).contains("1.00*"), "{}", printed(&clear));
    // What is no competition has no winner.
    assert_eq!(printed(&clear).matches('*').count(), 1);
    for series in [
        // They overlap.
        [(Kind::Parlor, &[1.0, 1.1, 0.9][..]), (Kind::Redis, &[2.0, 2.2, 1.05])],
        // Nobody knows how much rounds differ.
        [(Kind::Parlor, &[1.0]), (Kind::Redis, &[2.0])],
        // The floor is out of the competition.
        [(Kind::Parlor, &[1.0, 1.1, 0.9]), (Kind::Floor, &[2.0, 2.2, 1.8])],
    ] {
        let text = printed(&chapter(&series));
        assert!(!text.contains('*'), "{text}");
    }
}

#[test]
fn where_the_host_was_not_quiet_nothing_is_concluded() {
    let mut noisy = chapter(&[(Kind::Parlor, &[1.0, 1.1, 0.9]), (Kind::Redis, &[2.0, 2.2, 1.8])]);
    disturb(&mut noisy, 1);
    let text = printed(&noisy);
    assert!(!text.contains('*') && text.contains("(2.00)") && text.contains("not quiet"), "{text}");
    assert!(sentence(&noisy).contains("not quiet"));
    let page = page(&[noisy]);
    assert!(page.contains("ratio unsure") && !page.contains("<td class=\"best\""));
}

#[test]
fn only_parlors_failure_is_one_of_the_run() {
    let mut chapter = chapter(&[(Kind::Parlor, &[1.0, 1.1]), (Kind::Ngircd, &[2.0, 2.2])]);
    chapter.series[1].rounds[0] = Err(Fault::Ended("that of client 3: Excess Flood".to_owned()));
    assert!(parlor_came_through(std::slice::from_ref(&chapter)));
    let text = printed(&chapter);
    assert!(text.contains("ngircd did not get through: ") && !text.contains("FAILED"), "{text}");
    chapter.series[0].rounds[0] = Err(Fault::Gap("u1".to_owned()));
    assert!(!parlor_came_through(std::slice::from_ref(&chapter)));
    assert!(printed(&chapter).contains("parlor FAILED lost or out of order"));
}

fn page(chapters: &[Chapter]) -> String {
    html::html(chapters, &Facts(vec![("CPU", "<one>".to_owned())]), "cargo bench", None)
}

#[test]
fn the_page_stands_by_itself() {
    let mut chapter = chapter(&[(Kind::Parlor, &[1.0, 1.1, 0.9]), (Kind::Redis, &[2.0, 2.2, 1.8])]);
    if let Ok(outcome) = &mut chapter.series[0].rounds[2] {
        let points = (0..20).map(|step| (1e4 * 1.5f64.powi(step), 0.01 * 1.6f64.powi(step))).collect();
        outcome.curves.push(Curve {
            title: "p99 by load",
            x: "deliveries a second",
            y: "p99, ms",
            bound: 50.0,
            points,
        });
    }
    let page = page(&[chapter]);
    assert!(page.contains("of redis' CPU for a delivery") || page.contains("of redis&#39; CPU"));
    assert!(page.contains("lower is better") && page.contains("prefers-color-scheme: dark"));
    assert!(page.contains("&lt;one&gt;") && !page.contains("<one>"));
    assert!(page.contains("<td>10</td>"), "a count is whole");
    // Nothing is fetched from elsewhere.
    for foreign in ["http:", "https:", "<script", "@import"] {
        assert!(!page.replace("http://www.w3.org/2000/svg", "").contains(foreign), "{foreign}");
    }
    // Decades of load are on a log axis: round numbers far apart stand on it.
    for label in [">100 k<", ">1 M<", ">10 M<"] {
        let spaced = page.replace('\n', "");
        assert!(spaced.contains(label), "{label}");
    }
}

/// Of nodes there is more to tell than of a server that is one process; the others have a gap there.
#[test]
fn figures_that_only_some_servers_have_get_a_column() {
    let mut chapter = chapter(&[(Kind::Parlor, &[1.0]), (Kind::Nodes(2), &[1.5])]);
    if let Ok(outcome) = &mut chapter.series[1].rounds[0] {
        outcome.figures.insert(1, Figure::less("engine/message", "µs", 2.5));
    }
    let text = printed(&chapter);
    for (server, values) in
        [("parlor", ["1.00", "1.00", "–", "10"]), ("nodes-2", ["1.50", "1.50", "2.50", "10"])]
    {
        let row = text.lines().find(|line| line.trim_start().starts_with(server)).unwrap();
        assert_eq!(row.split_whitespace().skip(1).take(4).collect::<Vec<_>>(), values, "{text}");
    }
    assert!(page(&[chapter]).contains("engine/message"));
    assert_eq!(
        sentence(&self::chapter(&[(Kind::Parlor, &[1.0]), (Kind::Nodes(2), &[2.0])])),
        "parlor needs 0.50 of nodes-2's CPU for a delivery"
    );
}

#[test]
fn a_part_of_an_estimate_that_was_measured_is_known() {
    let mut estimate = Estimate::new(&[10.0, 20.0], 2, 3);
    assert_eq!(estimate.left(0, 0, 0), 180.0);
    estimate.learn(0, 0, 0, 5.0);
    // The first is known now; all others are expected to take half of the rule of thumb.
    assert_eq!(estimate.left(0, 1, 0), 5.0 * 2.0 + 0.5 * (10.0 * 3.0 + 2.0 * 20.0 * 3.0));
    estimate.learn(0, 1, 0, 5.0);
    assert_eq!(estimate.left(0, 0, 1), 5.0 * 4.0 + 0.5 * 2.0 * 20.0 * 3.0);
    estimate.learn(1, 1, 0, 12.0);
    assert_eq!(estimate.left(1, 1, 2), 12.0);
}

#[test]
fn days_have_the_right_date() {
    assert_eq!(civil(0), (1970, 1, 1));
    assert_eq!(civil(11_016), (2000, 2, 29));
    assert_eq!(civil(11_017), (2000, 3, 1));
    assert_eq!(civil(20_453), (2025, 12, 31));
}

/// Results as the bench writes them.
fn results(values: &[f64], quiet: bool) -> Results {
    let mut chapter = chapter(&[(Kind::Parlor, values)]);
    if !quiet {
        disturb(&mut chapter, 0);
    }
    Results::from_json(&json::json(&[chapter], &Facts(vec![("CPU", "one".to_owned())]))).unwrap()
}

fn verdict(before: &[f64], after: &[f64], quiet: bool) -> (Change, String) {
    let comparison = compare(&results(before, true), &results(after, quiet));
    assert_eq!(comparison.warnings, Vec::<String>::new());
    // Circumstances are not compared.
    let [line] = &comparison.lines[..] else { panic!("{} lines", comparison.lines.len()) };
    (line.change, line.verdict.clone())
}

#[test]
fn two_results_get_a_verdict_where_the_rounds_allow_one() {
    let before = [1.00, 1.01, 0.99];
    assert_eq!(verdict(&before, &[1.06, 1.07, 1.05], true), (Change::Worse, "1.06 ± 0.01 slower".to_owned()));
    assert_eq!(
        verdict(&before, &[0.90, 0.91, 0.89], true),
        (Change::Better, "0.90 ± 0.01 faster".to_owned())
    );
    let (change, text) = verdict(&before, &[1.02, 1.10, 0.98], true);
    assert!(change == Change::None && text.ends_with("not told apart"), "{text}");
    let (change, text) = verdict(&before, &[2.0, 2.1], true);
    assert!(change == Change::Unknown && text.contains("--rounds 3"), "{text}");
    let (change, text) = verdict(&before, &[2.0, 2.1, 1.9], false);
    assert!(change == Change::Unknown && text.contains("not quiet"), "{text}");
}

#[test]
fn what_is_not_the_same_is_not_compared_silently() {
    let other =
        json!({ "host": { "CPU": "another" }, "scenarios": [{ "scenario": "fanout", "about": "else" }] });
    let comparison = compare(&Results::from_json(&other).unwrap(), &results(&[1.0, 1.0, 1.0], true));
    assert_eq!(comparison.lines.len(), 0);
    for word in ["CPU", "another one before", "nothing in common"] {
        assert!(comparison.warnings.iter().any(|warning| warning.contains(word)), "{word}");
    }
    assert!(Results::from_json(&Value::Null).is_err());
}
