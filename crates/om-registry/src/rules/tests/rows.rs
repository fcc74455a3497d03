//! Rows about one value: what each accepts, and what it refuses with which
//! message.

use serde_json::{Value, json};

use crate::member::MemberPath;

/// What one row accepts and refuses.
pub(super) struct Row {
    pub(super) member: MemberPath,
    pub(super) accepted: Vec<Value>,
    /// What it refuses, and its message.
    pub(super) refused: Vec<(Value, String)>,
    /// Whether `false` counts as missing.
    pub(super) false_is_missing: bool,
}

/// Every row that is about one value.
pub(super) fn all() -> Vec<Row> {
    let tables = [
        containers(),
        switches(),
        numbers(),
        words(),
        texts(),
        lists(),
        objects(),
    ];
    tables.into_iter().flatten().collect()
}

fn row(member: &str, accepted: &[Value], refused: &[(Value, &str)], false_is_missing: bool) -> Row {
    Row {
        member: MemberPath::dotted(member),
        accepted: accepted.to_vec(),
        refused: refused
            .iter()
            .map(|(value, rest)| (value.clone(), format!("{member} {rest}")))
            .collect(),
        false_is_missing,
    }
}

fn of_loop(
    member: &str,
    accepted: &[Value],
    refused: &[(Value, &str)],
    false_missing: bool,
) -> Row {
    Row {
        member: MemberPath::dotted("loops").item(0).then(member),
        accepted: accepted.to_vec(),
        refused: refused
            .iter()
            .map(|(value, text)| (value.clone(), format!("loops[0]: {text}")))
            .collect(),
        false_is_missing: false_missing,
    }
}

/// Rows 10, 19–21, 41, 42: whole numbers from `least` on.
fn whole(member: &str, least: u64) -> Row {
    let text = format!("must be an integer >= {least} when present");
    let refused = [
        json!(-1),
        json!(1.5),
        json!("5"),
        json!(true),
        json!([]),
        json!(""),
    ];
    let mut refused: Vec<(Value, &str)> = refused.into_iter().map(|v| (v, text.as_str())).collect();
    if least > 0 {
        refused.push((json!(0), &text));
    }
    row(
        member,
        &[json!(least), json!(7.0), json!(1e3)],
        &refused,
        true,
    )
}

fn containers() -> Vec<Row> {
    let below = [
        "policy",
        "policy.noiseControls",
        "policy.autonomous",
        "policy.autonomous.allow",
        "policy.autonomous.thresholds",
        "policy.autonomous.safety",
        "policy.autonomous.governance",
        "policy.autonomous.rollout",
        "policy.autonomous.rollout.scope",
        "policy.autonomous.rollout.selector",
        "policy.autonomous.rollout.pause",
        "policy.autonomous.rollout.autoPause",
        "policy.suppressionGovernance",
    ];
    let text = "must be an object when present";
    let refused = [json!(false), json!(""), json!([]), json!(1), json!(true)].map(|v| (v, text));
    below
        .iter()
        .map(|member| row(member, &[json!({})], &refused, false))
        .collect()
}

fn switches() -> Vec<Row> {
    let text = "must be boolean when present";
    let refused = [json!("true"), json!(0), json!({})].map(|value| (value, text));
    let accepted = [json!(true), json!(false)];
    let members = [
        "policy.autonomous.safety.killSwitch",
        "policy.autonomous.rollout.pause.manual",
        "policy.autonomous.rollout.autoPause.enabled",
    ];
    let mut rows: Vec<Row> = members.map(|m| row(m, &accepted, &refused, false)).into();
    let refused = refused.map(|(value, _)| (value, "enabled must be boolean when present"));
    rows.push(of_loop("enabled", &accepted, &refused, false));
    rows
}

fn numbers() -> Vec<Row> {
    let rate = "must be a number between 0 and 1 when present";
    let rates = [json!(-0.1), json!(1.1), json!("0.5"), json!({})].map(|value| (value, rate));
    let percent = "must be an integer between 0 and 100 when present";
    let percents = [json!(-1), json!(101), json!(12.5), json!("25")].map(|v| (v, percent));
    vec![
        whole("policy.noiseControls.dedupeWindowSeconds", 0),
        whole("policy.autonomous.safety.maxActionsPerRun", 0),
        whole("policy.autonomous.safety.maxActionsPerLoop", 0),
        whole("policy.autonomous.safety.cooldownSeconds", 0),
        whole("policy.autonomous.rollout.autoPause.lookbackExecutions", 1),
        whole("policy.autonomous.rollout.autoPause.minSampleSize", 1),
        row(
            "policy.autonomous.rollout.autoPause.ambiguityRateThreshold",
            &[json!(0), json!(0.25), json!(1)],
            &rates,
            true,
        ),
        row(
            "policy.autonomous.rollout.autoPause.failureRateThreshold",
            &[json!(0), json!(1.0)],
            &rates,
            true,
        ),
        row(
            "policy.autonomous.rollout.canaryPercent",
            &[json!(0), json!(25.0), json!(100)],
            &percents,
            true,
        ),
        of_loop(
            "service.retryAttempts",
            &[json!(1), json!(1.5)],
            &[json!(0), json!(0.9), json!("3"), json!([])]
                .map(|value| (value, "service.retryAttempts must be >= 1 when present")),
            true,
        ),
        of_loop(
            "service.retryBackoffSeconds",
            &[json!(0), json!(0.5)],
            &[json!(-0.1), json!("1")].map(|value| {
                (
                    value,
                    "service.retryBackoffSeconds must be >= 0 when present",
                )
            }),
            true,
        ),
    ]
}

fn words() -> Vec<Row> {
    let odd = [json!(""), json!("x"), json!(1), json!([]), json!(true)];
    let must = |text: &'static str| odd.clone().map(|value| (value, text));
    let severity = "policy.autonomous.thresholds.minSeverity";
    let confidence = "policy.autonomous.thresholds.minConfidence";
    let string = "must be a string when present";
    let salt = "policy.autonomous.rollout.selector.salt";
    vec![
        row(
            "fleetId",
            &[json!(""), json!("x")],
            &[(json!(1), string), (json!([]), string)],
            true,
        ),
        row(
            "policy.mode",
            &[json!("advisory"), json!("guarded_auto")],
            &must("must be advisory or guarded_auto"),
            true,
        ),
        of_loop(
            "transport",
            &[json!("local")],
            &must("transport must be local or sprite_service"),
            true,
        ),
        row(
            severity,
            &[json!("critical"), json!("warning"), json!("info")],
            &[
                (json!(3), string),
                (json!({}), string),
                (json!("Critical"), "must be one of critical, warning, info"),
            ],
            true,
        ),
        row(
            confidence,
            &[json!("high"), json!("medium"), json!("low")],
            &[
                (json!([]), string),
                (json!(""), "must be one of high, medium, low"),
            ],
            true,
        ),
        row(
            salt,
            &[json!("s")],
            &[
                (json!(1), string),
                (json!(""), "must be non-empty when present"),
            ],
            true,
        ),
    ]
}

fn texts() -> Vec<Row> {
    let odd = [json!(""), json!(1), json!([]), json!({}), json!(true)];
    let must = |text: &'static str| odd.clone().map(|value| (value, text));
    let text = "must be a non-empty string when present";
    let moment = "must be an ISO-8601 timestamp when present";
    let governance = ["actor", "approvalRef", "rationale"];
    let mut rows: Vec<Row> = governance
        .map(|name| format!("policy.autonomous.governance.{name}"))
        .iter()
        .map(|member| row(member, &[json!("x")], &must(text), true))
        .collect();
    for member in ["sprite.id", "service.tokenEnv"] {
        let text = format!("{member} {text}");
        let refused = odd.clone().map(|value| (value, text.as_str()));
        rows.push(of_loop(member, &[json!("x")], &refused, true));
    }
    for (member, accepted) in [
        ("policy.autonomous.governance.changedAt", "2031-5-1T0:0:0Z"),
        (
            "policy.autonomous.governance.reviewBy",
            " 2031-06-31T00:00:00Z ",
        ),
        (
            "policy.autonomous.rollout.autoPause.clearedAt",
            "2031-05-04T09:00:00Z",
        ),
    ] {
        let refused = [json!(""), json!("soon"), json!(1), json!("2031-05-01")];
        let refused = refused.map(|value| (value, moment));
        rows.push(row(member, &[json!(accepted)], &refused, true));
    }
    rows
}

fn lists() -> Vec<Row> {
    let (array, strings) = ("must be an array when present", "entries must be strings");
    let categories = "contains unsupported categories";
    let ids = |member: &str| {
        row(
            member,
            &[json!([]), json!(["a"]), json!(["b", "a"])],
            &[
                (json!("a"), array),
                (json!({}), array),
                (json!(["a", 1]), strings),
                (json!(["", "x"]), "entries must be non-empty strings"),
                (json!(["a", "a", "x"]), "entries must be unique"),
                (
                    json!(["a", "x", "y"]),
                    "entries must reference declared loopIds",
                ),
            ],
            true,
        )
    };
    vec![
        row(
            "policy.autonomous.allow.categories",
            &[json!([]), json!(["health_degraded", "health_degraded"])],
            &[
                (json!("health_critical"), array),
                (json!([1, "x"]), strings),
                (json!(["health_critical", "x"]), categories),
                (json!([""]), categories),
            ],
            true,
        ),
        row(
            "policy.autonomous.allow.intents",
            &[json!([]), json!(["cancel", "cancel"])],
            &[
                (json!({}), array),
                (json!([null]), strings),
                (json!(["approve"]), "contains unsupported intents"),
            ],
            true,
        ),
        ids("policy.autonomous.rollout.scope.loopIds"),
        ids("policy.autonomous.rollout.frozenLoopIds"),
    ]
}

fn objects() -> Vec<Row> {
    let odd = [json!(""), json!([]), json!(1), json!(true)];
    let must = |text: &'static str| odd.clone().map(|value| (value, text));
    let mut rows = vec![
        row(
            "policy.suppressions",
            &[json!({}), json!({"a": ["health_critical"], "*": []})],
            &must("must be an object mapping loopId to category arrays"),
            true,
        ),
        of_loop(
            "metadata",
            &[json!({"x": [1]})],
            &must("metadata must be an object when present"),
            true,
        ),
    ];
    for (member, text) in [
        ("sprite", "sprite must be an object when present"),
        ("service", "service must be an object when present"),
    ] {
        let mut refused = must(text).to_vec();
        refused.push((json!(false), text));
        rows.push(of_loop(member, &[json!({})], &refused, false));
    }
    rows
}
