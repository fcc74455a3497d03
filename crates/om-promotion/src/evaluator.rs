//! What every stage hands on to the gates: which evidence, which thresholds.

use om_model::json;
use om_model::promotion::Rate;
use om_model::promotion::gates::GateThresholds;

use crate::error::PromotionError;

/// Evidence and thresholds other than the usual ones, as somebody typed them;
/// what is empty was not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--fleet-status-file`
    pub fleet_status_file: Option<String>,
    /// `--handoff-telemetry-file`
    pub handoff_telemetry_file: Option<String>,
    /// `--drill-state-file`
    pub drill_state_file: Option<String>,
    /// The thresholds.
    pub thresholds: ThresholdTexts,
}

/// Thresholds as somebody typed them: only the gates check them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThresholdTexts {
    /// `--window-executions`
    pub window_executions: Option<String>,
    /// `--min-sample-size`
    pub min_sample_size: Option<String>,
    /// `--max-ambiguity-rate`
    pub max_ambiguity_rate: Option<String>,
    /// `--max-failure-rate`
    pub max_failure_rate: Option<String>,
    /// `--max-manual-backlog`
    pub max_manual_backlog: Option<String>,
    /// `--max-drill-age-hours`
    pub max_drill_age_hours: Option<String>,
    /// `--max-sample-age-hours` (additive, decision D19)
    pub max_sample_age_hours: Option<String>,
}

impl Overrides {
    /// The arguments of a hook that is told of them, in the contract's order.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        push(
            &mut arguments,
            "--fleet-status-file",
            self.fleet_status_file.as_ref(),
        );
        push(
            &mut arguments,
            "--handoff-telemetry-file",
            self.handoff_telemetry_file.as_ref(),
        );
        push(
            &mut arguments,
            "--drill-state-file",
            self.drill_state_file.as_ref(),
        );
        arguments.extend(self.thresholds.arguments());
        arguments
    }
}

impl ThresholdTexts {
    /// The arguments of a hook that is told of them, in the contract's order.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        for (flag, value) in [
            ("--window-executions", &self.window_executions),
            ("--min-sample-size", &self.min_sample_size),
            ("--max-ambiguity-rate", &self.max_ambiguity_rate),
            ("--max-failure-rate", &self.max_failure_rate),
            ("--max-manual-backlog", &self.max_manual_backlog),
            ("--max-drill-age-hours", &self.max_drill_age_hours),
            ("--max-sample-age-hours", &self.max_sample_age_hours),
        ] {
            push(&mut arguments, flag, value.as_ref());
        }
        arguments
    }

    /// The thresholds, checked in the contract's order (chapter 07 §1.2).
    pub fn read(&self) -> Result<GateThresholds, PromotionError> {
        let default = GateThresholds::default();
        Ok(GateThresholds {
            window_executions: integer(
                "--window-executions",
                self.window_executions.as_ref(),
                1,
                default.window_executions,
            )?,
            min_sample_size: integer(
                "--min-sample-size",
                self.min_sample_size.as_ref(),
                1,
                default.min_sample_size,
            )?,
            max_ambiguity_rate: rate(
                "--max-ambiguity-rate",
                self.max_ambiguity_rate.as_ref(),
                default.max_ambiguity_rate,
            )?,
            max_failure_rate: rate(
                "--max-failure-rate",
                self.max_failure_rate.as_ref(),
                default.max_failure_rate,
            )?,
            max_manual_backlog: integer(
                "--max-manual-backlog",
                self.max_manual_backlog.as_ref(),
                0,
                default.max_manual_backlog,
            )?,
            max_drill_age_hours: integer(
                "--max-drill-age-hours",
                self.max_drill_age_hours.as_ref(),
                1,
                default.max_drill_age_hours,
            )?,
            max_sample_age_hours: match &self.max_sample_age_hours {
                None => None,
                given => Some(integer("--max-sample-age-hours", given.as_ref(), 1, 1)?),
            },
        })
    }
}

/// Adds a flag and its value, if there is one.
pub(crate) fn push(arguments: &mut Vec<String>, flag: &str, value: Option<&String>) {
    if let Some(value) = value {
        arguments.extend([flag.to_owned(), value.clone()]);
    }
}

/// An integer flag of at least 0 or 1.
pub(crate) fn integer(
    flag: &'static str,
    value: Option<&String>,
    least: u64,
    default: u64,
) -> Result<u64, PromotionError> {
    let expected = if least == 0 {
        "an integer >= 0"
    } else {
        "an integer >= 1"
    };
    let Some(text) = value else {
        return Ok(default);
    };
    json::digits_text(text)
        .filter(|number| *number >= least)
        .ok_or(PromotionError::Flag { flag, expected })
}

/// `--expand-step`: percent points.
pub(crate) fn expand_step(value: Option<&String>) -> Result<u64, PromotionError> {
    let flag = "--expand-step";
    let expected = "an integer between 1 and 100";
    let Some(text) = value else { return Ok(25) };
    json::digits_text(text)
        .filter(|step| (1..=100).contains(step))
        .ok_or(PromotionError::Flag { flag, expected })
}

fn rate(flag: &'static str, value: Option<&String>, default: Rate) -> Result<Rate, PromotionError> {
    let expected = "a number between 0 and 1";
    let Some(text) = value else {
        return Ok(default);
    };
    Rate::parse(text).ok_or(PromotionError::Flag { flag, expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(texts: &ThresholdTexts) -> String {
        texts.read().expect_err("is refused").to_string()
    }

    #[test]
    fn each_threshold_has_a_message_of_its_own() {
        let bad = || Some("x".to_owned());
        let none = ThresholdTexts::default;
        for (texts, message) in [
            (
                ThresholdTexts {
                    window_executions: Some("0".into()),
                    ..none()
                },
                "--window-executions must be an integer >= 1",
            ),
            (
                ThresholdTexts {
                    min_sample_size: Some(String::new()),
                    ..none()
                },
                "--min-sample-size must be an integer >= 1",
            ),
            (
                ThresholdTexts {
                    max_ambiguity_rate: Some("1.1".into()),
                    ..none()
                },
                "--max-ambiguity-rate must be a number between 0 and 1",
            ),
            (
                ThresholdTexts {
                    max_failure_rate: bad(),
                    ..none()
                },
                "--max-failure-rate must be a number between 0 and 1",
            ),
            (
                ThresholdTexts {
                    max_manual_backlog: Some("-1".into()),
                    ..none()
                },
                "--max-manual-backlog must be an integer >= 0",
            ),
            (
                ThresholdTexts {
                    max_drill_age_hours: Some("0".into()),
                    ..none()
                },
                "--max-drill-age-hours must be an integer >= 1",
            ),
            (
                ThresholdTexts {
                    max_sample_age_hours: bad(),
                    ..none()
                },
                "--max-sample-age-hours must be an integer >= 1",
            ),
        ] {
            assert_eq!(refused(&texts), message);
        }
    }

    #[test]
    fn the_first_wrong_threshold_is_reported() {
        let texts = ThresholdTexts {
            max_drill_age_hours: Some("0".into()),
            max_ambiguity_rate: Some("2".into()),
            ..ThresholdTexts::default()
        };
        assert!(refused(&texts).starts_with("--max-ambiguity-rate"));
    }

    #[test]
    fn integers_are_decimal() {
        let texts = ThresholdTexts {
            window_executions: Some("010".into()),
            max_manual_backlog: Some("0".into()),
            ..ThresholdTexts::default()
        };
        let thresholds = texts.read().expect("are fine");
        assert_eq!(
            (thresholds.window_executions, thresholds.max_manual_backlog),
            (10, 0)
        );
    }

    #[test]
    fn the_canary_is_widened_by_one_to_a_hundred_points() {
        for (text, step) in [("1", 1), ("100", 100), ("008", 8)] {
            assert_eq!(expand_step(Some(&text.to_owned())).ok(), Some(step));
        }
        assert_eq!(expand_step(None).ok(), Some(25));
        for text in ["0", "101", "", "-1", "1.5"] {
            let error = expand_step(Some(&text.to_owned())).expect_err("is refused");
            assert_eq!(
                error.to_string(),
                "--expand-step must be an integer between 1 and 100"
            );
        }
    }

    #[test]
    fn a_hook_is_told_in_the_contracts_order_what_was_typed() {
        let overrides = Overrides {
            fleet_status_file: Some("s".into()),
            handoff_telemetry_file: Some("h".into()),
            drill_state_file: Some("d".into()),
            thresholds: ThresholdTexts {
                window_executions: Some("007".into()),
                min_sample_size: Some("2".into()),
                max_ambiguity_rate: Some(".5".into()),
                max_failure_rate: Some("1.0".into()),
                max_manual_backlog: Some("5".into()),
                max_drill_age_hours: Some("6".into()),
                max_sample_age_hours: None,
            },
        };
        assert_eq!(
            overrides.arguments().join(" "),
            "--fleet-status-file s --handoff-telemetry-file h --drill-state-file d \
             --window-executions 007 --min-sample-size 2 --max-ambiguity-rate .5 \
             --max-failure-rate 1.0 --max-manual-backlog 5 --max-drill-age-hours 6"
        );
    }
}
