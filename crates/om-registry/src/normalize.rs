//! The registry with every default filled in (chapter 05 §1.5).
//!
//! Total: what is missing, `null`, `false` where a switch cannot be, or of
//! another type becomes the default. For a file that holds every rule there
//! is nothing of another type; for what a hook prints, which nobody checks,
//! defaults are the policy's own (chapter 06 §0.2), and what cannot be read
//! is read so that less happens by itself.

use om_model::LoopId;
use om_model::Timestamp;
use om_model::control::Intent;
use om_model::fleet::registry::{
    Allow, AutoPause, Autonomous, Category, Confidence, DEFAULT_FLEET_ID, FleetLoop, Governance,
    LoopService, NoiseControls, Pause, Policy, PolicyMode, Registry, Rollout, Safety, Scope,
    Selector, Severity, Thresholds,
};
use om_model::health::TransportMode;
use om_model::json::{self, first_present, present};
use serde_json::{Map, Number, Value};

/// Requests per call of a service.
const RETRY_ATTEMPTS: u64 = 3;
/// Seconds between them.
const RETRY_BACKOFF_SECONDS: u64 = 1;

/// How far ahead a moment of the past may be: clocks differ.
const CLOCK_SKEW_SECONDS: u64 = 300;

/// Which defaults apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defaults {
    /// Those of the registry.
    Registry,
    /// Those of the policy, for what a hook prints: nothing is allowed unless
    /// it is named.
    Hook,
}

/// The registry that `document` describes. Fails, with a message, only on a
/// document that is no object and on a loop that cannot be named or reached.
pub(crate) fn normalize(
    document: &Value,
    source_file: &str,
    now: Timestamp,
    defaults: Defaults,
) -> Result<Registry, String> {
    if !document.is_object() && !document.is_null() {
        let kind = json::type_name(document);
        return Err(format!(
            "invalid fleet registry: it must be an object, it is {kind}"
        ));
    }
    let root = Part(document);
    let entries = document.get("loops").and_then(Value::as_array);
    let entries = entries.map_or(&[][..], Vec::as_slice).iter().enumerate();
    let loops = entries.map(|(index, entry)| fleet_loop(index, entry));
    let loops = loops.collect::<Result<Vec<_>, String>>()?;
    let fleet_id = root.text("fleetId");
    Ok(Registry {
        schema_version: om_model::envelope::SchemaVersion::V1,
        source_file: source_file.to_owned(),
        fleet_id: fleet_id.unwrap_or_else(|| DEFAULT_FLEET_ID.to_owned()),
        loop_count: loops.len(),
        loops,
        policy: policy(root.part("policy"), now, defaults),
    })
}

fn fleet_loop(index: usize, entry: &Value) -> Result<FleetLoop, String> {
    let here = Part(entry);
    if !entry.is_object() {
        return Err(format!("loops[{index}]: entry must be an object"));
    }
    let id = here.text("loopId").unwrap_or_default();
    let loop_id = LoopId::new(id).map_err(|error| error.to_string())?;
    let transport = match here.present("transport") {
        None => TransportMode::Local,
        Some(value) => value
            .as_str()
            .and_then(TransportMode::parse)
            .ok_or_else(|| format!("loops[{index}]: transport must be local or sprite_service"))?,
    };
    let (sprite, service) = (here.part("sprite"), here.part("service"));
    let (of_sprite, of_service) = (sprite.present("serviceBaseUrl"), service.present("baseUrl"));
    let mut known = Map::new();
    for (name, value) in [
        ("id", sprite.present("id")),
        ("assignment", sprite.present("assignment")),
        ("serviceBaseUrl", first_present([of_sprite, of_service])),
    ] {
        known.extend(value.map(|value| (name.to_owned(), value.clone())));
    }
    Ok(FleetLoop {
        loop_id,
        enabled: here.switch("enabled", true, false),
        transport,
        sprite: known,
        service: LoopService {
            base_url: first_present([of_service, of_sprite]).cloned(),
            token_env: service.text("tokenEnv").filter(|name| !name.is_empty()),
            retry_attempts: service.number("retryAttempts", RETRY_ATTEMPTS),
            retry_backoff_seconds: service.number("retryBackoffSeconds", RETRY_BACKOFF_SECONDS),
        },
        metadata: here.object("metadata"),
    })
}

fn policy(here: Part<'_>, now: Timestamp, defaults: Defaults) -> Policy {
    let mode = here.read("mode", PolicyMode::parse).unwrap_or_default();
    let window = NoiseControls::default().dedupe_window_seconds;
    let noise = here.part("noiseControls");
    let autonomous = here.part("autonomous");
    Policy {
        mode,
        suppressions: here.object("suppressions"),
        noise_controls: NoiseControls {
            dedupe_window_seconds: noise.whole("dedupeWindowSeconds", window),
        },
        autonomous: Autonomous {
            enabled: mode == PolicyMode::GuardedAuto,
            allow: allow(autonomous.part("allow"), defaults),
            thresholds: thresholds(autonomous.part("thresholds")),
            safety: safety(autonomous.part("safety")),
            governance: governance(autonomous.part("governance")),
            rollout: rollout(autonomous.part("rollout"), now),
        },
        suppression_governance: here.object("suppressionGovernance"),
    }
}

fn allow(here: Part<'_>, defaults: Defaults) -> Allow {
    let default = match defaults {
        Defaults::Registry => Allow::default(),
        Defaults::Hook => Allow {
            categories: Vec::new(),
            intents: Vec::new(),
        },
    };
    let categories = here.texts("categories");
    let intents = here.texts("intents");
    Allow {
        categories: categories.map_or(default.categories, |texts| {
            texts
                .iter()
                .filter_map(|text| Category::parse(text))
                .collect()
        }),
        intents: intents.map_or(default.intents, |texts| {
            texts
                .iter()
                .filter_map(|text| Intent::parse(text))
                .collect()
        }),
    }
}

fn thresholds(here: Part<'_>) -> Thresholds {
    // The defaults are the strictest values.
    let default = Thresholds::default();
    Thresholds {
        min_severity: here
            .read("minSeverity", Severity::parse)
            .unwrap_or(default.min_severity),
        min_confidence: here
            .read("minConfidence", Confidence::parse)
            .unwrap_or(default.min_confidence),
    }
}

fn safety(here: Part<'_>) -> Safety {
    let default = Safety::default();
    Safety {
        max_actions_per_run: here.whole("maxActionsPerRun", default.max_actions_per_run),
        max_actions_per_loop: here.whole("maxActionsPerLoop", default.max_actions_per_loop),
        cooldown_seconds: here.whole("cooldownSeconds", default.cooldown_seconds),
        kill_switch: here.switch("killSwitch", false, true),
    }
}

fn governance(here: Part<'_>) -> Governance {
    let (changed_at, review_by) = (here.text("changedAt"), here.text("reviewBy"));
    let moment = |text: &Option<String>| Timestamp::parse(text.as_deref()?);
    let window = moment(&changed_at).zip(moment(&review_by));
    let seconds = |from: Timestamp, to: Timestamp| to.epoch_seconds() - from.epoch_seconds();
    Governance {
        actor: here.text("actor"),
        approval_ref: here.text("approvalRef"),
        rationale: here.text("rationale"),
        review_window_days: window.map(|(from, to)| seconds(from, to).div_euclid(86_400)),
        changed_at,
        review_by,
    }
}

fn rollout(here: Part<'_>, now: Timestamp) -> Rollout {
    let default = Rollout::default();
    let percent = here.whole("canaryPercent", u64::from(default.canary_percent));
    let selector = here.part("selector").text("salt");
    let scope = here.part("scope").texts("loopIds");
    let pause = here.part("pause");
    Rollout {
        canary_percent: u8::try_from(percent.min(100)).unwrap_or(100),
        scope: Scope {
            loop_ids: scope.unwrap_or_default(),
        },
        selector: selector.map_or(default.selector, |salt| Selector { salt }),
        pause: Pause {
            manual: pause.switch("manual", false, true),
        },
        auto_pause: auto_pause(here.part("autoPause"), now, &default.auto_pause),
        frozen_loop_ids: here.texts("frozenLoopIds").unwrap_or_default(),
    }
}

/// `clearedAt` counts only once it is there: what is still to come cannot be
/// put aside.
pub(crate) fn auto_pause(here: Part<'_>, now: Timestamp, default: &AutoPause) -> AutoPause {
    let cleared = here.read("clearedAt", Timestamp::parse);
    AutoPause {
        enabled: here.switch("enabled", default.enabled, true),
        lookback_executions: here.whole("lookbackExecutions", default.lookback_executions),
        min_sample_size: here.whole("minSampleSize", default.min_sample_size),
        ambiguity_rate_threshold: here
            .any_number("ambiguityRateThreshold")
            .unwrap_or_else(|| default.ambiguity_rate_threshold.clone()),
        failure_rate_threshold: here
            .any_number("failureRateThreshold")
            .unwrap_or_else(|| default.failure_rate_threshold.clone()),
        cleared_at: cleared
            .filter(|at| !is_ahead(*at, now))
            .or(default.cleared_at),
    }
}

/// Whether a moment of the past is claimed to be one of the future.
pub(crate) fn is_ahead(at: Timestamp, now: Timestamp) -> bool {
    at.seconds_since(now) > CLOCK_SKEW_SECONDS
}

/// A value whose members are looked up; of anything but an object: none.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a>(pub(crate) &'a Value);

impl<'a> Part<'a> {
    pub(crate) fn part(self, name: &str) -> Self {
        Self(self.0.get(name).unwrap_or(&Value::Null))
    }

    /// Neither missing nor `null` nor `false`.
    pub(crate) fn present(self, name: &str) -> Option<&'a Value> {
        present(self.0.get(name))
    }

    fn text(self, name: &str) -> Option<String> {
        self.present(name)?.as_str().map(str::to_owned)
    }

    pub(crate) fn read<T>(self, name: &str, parse: fn(&str) -> Option<T>) -> Option<T> {
        parse(self.present(name)?.as_str()?)
    }

    /// `odd` is what a value means that is neither boolean nor `null`.
    pub(crate) fn switch(self, name: &str, default: bool, odd: bool) -> bool {
        match self.0.get(name) {
            None | Some(Value::Null) => default,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => odd,
        }
    }

    fn any_number(self, name: &str) -> Option<Number> {
        self.present(name)?.as_number().cloned()
    }

    fn number(self, name: &str, default: u64) -> Number {
        self.any_number(name)
            .unwrap_or_else(|| Number::from(default))
    }

    pub(crate) fn whole(self, name: &str, default: u64) -> u64 {
        self.any_number(name)
            .and_then(|number| whole(&number))
            .unwrap_or(default)
    }

    /// The strings of an array; entries of other types are left out.
    pub(crate) fn texts(self, name: &str) -> Option<Vec<String>> {
        let items = self.present(name)?.as_array()?.iter();
        Some(items.filter_map(Value::as_str).map(str::to_owned).collect())
    }

    fn object(self, name: &str) -> Map<String, Value> {
        self.0
            .get(name)
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default()
    }
}

/// A whole number that is not negative, saturating at the greatest integer.
pub(crate) fn whole(number: &Number) -> Option<u64> {
    if let Some(digits) = json::digits_text(number.as_str()) {
        return Some(digits);
    }
    let value = number
        .as_f64()
        .filter(|value| *value >= 0.0 && value.fract() == 0.0)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole and not negative; a cast saturates"
    )]
    Some((value as u64).min(json::MAX_INTEGER))
}
