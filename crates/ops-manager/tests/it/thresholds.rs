//! Where thresholds come from, and what their values do (02 §2.2, §3.4).

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Repo, ago, event, healthy};

/// A catalog whose one profile has these ingest thresholds.
fn catalog(name: &str, degraded: u64, critical: u64) -> String {
    json!({
        "schemaVersion": "v1",
        "defaultProfile": name,
        "profiles": {
            name: {
                "degradedIngestLagSeconds": degraded, "criticalIngestLagSeconds": critical,
                "degradedTransportFailureStreak": 1, "criticalTransportFailureStreak": 1,
            },
            "strict": {}, "balanced": {}, "relaxed": {},
        },
    })
    .to_string()
}

fn applied(repo: &Repo, arguments: &[&str]) -> (Value, Value) {
    let state = repo.reconcile(arguments).ok();
    let thresholds = &state["health"]["thresholds"];
    (
        thresholds["profile"].clone(),
        thresholds["degradedIngestLagSeconds"].clone(),
    )
}

#[test]
fn a_catalog_is_searched_flag_environment_repository_built_in() {
    let mut repo = healthy();
    assert_eq!(applied(&repo, &[]), (json!("balanced"), json!(300)));
    let config = repo.path().join("config");
    fs::create_dir(&config).expect("config");
    let own = config.join("ops-manager-threshold-profiles.v1.json");
    fs::write(own, catalog("repository", 1_000, 2_000)).expect("catalog");
    assert_eq!(applied(&repo, &[]), (json!("repository"), json!(1_000)));
    fs::write(repo.outside("e.json"), catalog("environment", 1_001, 2_000)).expect("catalog");
    repo.env("OPS_MANAGER_THRESHOLD_PROFILES_FILE", "e.json");
    assert_eq!(applied(&repo, &[]), (json!("environment"), json!(1_001)));
    fs::write(repo.outside("f.json"), catalog("flag", 1_002, 2_000)).expect("catalog");
    let flag = ["--thresholds-file", "f.json"];
    assert_eq!(applied(&repo, &flag), (json!("flag"), json!(1_002)));
}

#[test]
fn a_profile_is_named_by_flag_environment_catalog() {
    let mut repo = healthy();
    assert_eq!(applied(&repo, &[]), (json!("balanced"), json!(300)));
    repo.env("OPS_MANAGER_THRESHOLD_PROFILE", "relaxed");
    assert_eq!(applied(&repo, &[]), (json!("relaxed"), json!(600)));
    let flag = ["--threshold-profile", "strict"];
    assert_eq!(applied(&repo, &flag), (json!("strict"), json!(120)));
}

#[test]
fn the_shipped_profiles_have_these_values() {
    let repo = Repo::empty("l");
    for (name, values) in [
        ("strict", [120, 300, 1, 2]),
        ("balanced", [300, 900, 2, 4]),
        ("relaxed", [600, 1_800, 3, 6]),
    ] {
        let run = repo.run_plain("ops-manager-threshold-profile", &["--profile", name]);
        let mut profile = run.ok();
        let members = profile.as_object_mut().expect("an object");
        assert!(
            members
                .remove("description")
                .is_some_and(|text| text.is_string())
        );
        assert_eq!(
            profile,
            json!({
                "schemaVersion": "v1",
                "sourceFile": "builtin:ops-manager-threshold-profiles.v1.json",
                "profile": name,
                "values": {
                    "degradedIngestLagSeconds": values[0],
                    "criticalIngestLagSeconds": values[1],
                    "degradedTransportFailureStreak": values[2],
                    "criticalTransportFailureStreak": values[3],
                },
            })
        );
    }
    let list = repo.run_plain(
        "ops-manager-threshold-profile",
        &["--list", "--profile", "x"],
    );
    assert_eq!(
        (list.code, list.stdout.as_str()),
        (0, "balanced\nrelaxed\nstrict\n")
    );
}

#[test]
fn single_values_override_the_profile_and_keep_its_label() {
    let repo = healthy();
    let flags = [
        (
            "--degraded-ingest-lag-seconds",
            "degradedIngestLagSeconds",
            11,
        ),
        (
            "--critical-ingest-lag-seconds",
            "criticalIngestLagSeconds",
            901,
        ),
        (
            "--degraded-heartbeat-lag-seconds",
            "degradedHeartbeatLagSeconds",
            13,
        ),
        (
            "--critical-heartbeat-lag-seconds",
            "criticalHeartbeatLagSeconds",
            301,
        ),
        (
            "--degraded-transport-failure-streak",
            "degradedTransportFailureStreak",
            3,
        ),
        (
            "--critical-transport-failure-streak",
            "criticalTransportFailureStreak",
            7,
        ),
    ];
    for (flag, member, value) in flags {
        let state = repo.reconcile(&[flag, &value.to_string()]).ok();
        let mut expected = json!({
            "profile": "balanced",
            "degradedIngestLagSeconds": 300, "criticalIngestLagSeconds": 900,
            "degradedHeartbeatLagSeconds": 120, "criticalHeartbeatLagSeconds": 300,
            "degradedTransportFailureStreak": 2, "criticalTransportFailureStreak": 4,
        });
        expected[member] = json!(value);
        assert_eq!(state["health"]["thresholds"], expected, "{flag}");
    }
    let row = repo.last_row("telemetry/reconcile.jsonl");
    assert_eq!(row["thresholdProfile"], "balanced");
}

#[test]
fn one_overriding_flag_can_conflict_with_the_profile() {
    let repo = healthy();
    for (flag, value, metric) in [
        ("--degraded-ingest-lag-seconds", "901", "ingest lag"),
        ("--critical-heartbeat-lag-seconds", "119", "heartbeat lag"),
        (
            "--critical-transport-failure-streak",
            "1",
            "transport failure",
        ),
    ] {
        let message = format!("critical {metric} threshold must be >= degraded threshold");
        assert_eq!(repo.reconcile(&[flag, value]).error(), message);
    }
}

#[test]
fn a_profile_value_that_is_no_count_is_reported_like_the_flag() {
    let repo = healthy();
    for bad in ["-1", "1.5"] {
        let text = catalog("odd", 7, 2_000).replace(":7,", &format!(":{bad},"));
        fs::write(repo.outside("odd.json"), text).expect("catalog");
        let flag = ["--thresholds-file", "odd.json"];
        let message = "degraded-ingest-lag-seconds must be a non-negative integer";
        assert_eq!(repo.reconcile(&flag).error(), message, "{bad}");
        let overridden = [&flag[..], &["--degraded-ingest-lag-seconds", "9"]].concat();
        assert_eq!(applied(&repo, &overridden), (json!("odd"), json!(9)));
    }
}

#[test]
fn a_threshold_is_reached_at_its_value() {
    let repo = Repo::with_events(&[&event("loop_start", &ago(500))]);
    for (degraded, critical, status) in [
        ("0", "0", "critical"),
        ("500", "100000", "degraded"),
        ("100", "500", "critical"),
        ("100000", "100000", "healthy"),
    ] {
        let flags = [
            ["--degraded-ingest-lag-seconds", degraded],
            ["--critical-ingest-lag-seconds", critical],
        ];
        let state = repo.reconcile(&flags.concat()).ok();
        assert_eq!(state["health"]["status"], status, "{degraded} {critical}");
    }
    let flags = ["--degraded-transport-failure-streak", "0"];
    let state = repo
        .reconcile(&[&flags[..], &["--threshold-profile", "relaxed"]].concat())
        .ok();
    assert_eq!(
        state["health"]["reasonCodes"],
        json!(["transport_unreachable"])
    );
    assert_eq!(
        state["health"]["reasons"][0]["observed"], "0",
        "fires even at streak 0"
    );
}

#[test]
fn health_takes_its_thresholds_from_flags_alone() {
    let mut repo = Repo::empty("l");
    repo.env("OPS_MANAGER_THRESHOLD_PROFILE", "strict");
    let health = repo
        .run_plain("ops-manager-health", &["--threshold-profile", "any name"])
        .ok();
    assert_eq!(
        health["thresholds"],
        json!({
            "profile": "any name",
            "degradedIngestLagSeconds": 300, "criticalIngestLagSeconds": 900,
            "degradedHeartbeatLagSeconds": 120, "criticalHeartbeatLagSeconds": 300,
            "degradedTransportFailureStreak": 2, "criticalTransportFailureStreak": 4,
        })
    );
}
