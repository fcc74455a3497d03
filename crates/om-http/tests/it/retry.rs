//! Pauses between attempts.

use std::time::{Duration, SystemTime};

use om_http::{Backoff, is_worth_repeating, retry_after};
use proptest::prelude::*;

#[test]
fn eight_statuses_are_worth_repeating() {
    let repeated: Vec<u16> = (100..600)
        .filter(|status| is_worth_repeating(*status))
        .collect();
    assert_eq!(repeated, [408, 409, 425, 429, 500, 502, 503, 504]);
}

#[test]
fn the_last_attempt_is_the_last() {
    for (attempts, number, expected) in [
        (3, 1, true),
        (3, 2, true),
        (3, 3, false),
        (1, 1, false),
        (0, 1, false),
    ] {
        let backoff = Backoff {
            attempts,
            seconds: 1,
        };
        assert_eq!(backoff.has_another(number), expected, "{attempts} {number}");
    }
}

#[test]
fn a_retry_after_up_to_thirty_seconds_replaces_a_shorter_pause() {
    for (seconds, asked, expected) in [
        (0, None, 0),
        (0, Some(7), 7),
        (10, Some(7), 10),
        (10, Some(30), 30),
        (10, Some(31), 10),
        (0, Some(u64::MAX), 0),
    ] {
        let backoff = Backoff {
            attempts: 3,
            seconds,
        };
        let pause = backoff.pause(1, asked.map(Duration::from_secs), 1.0);
        assert_eq!(pause, Duration::from_secs(expected), "{seconds} {asked:?}");
    }
}

#[test]
fn a_retry_after_header_is_read_as_seconds_or_as_a_date() {
    // Fri, 31 Dec 1999 23:59:30 GMT.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(946_684_770);
    for (value, expected) in [
        (Some("0"), Some(0)),
        (Some(" 12 "), Some(12)),
        (Some("99999999999999999999999"), Some(u64::MAX)),
        (Some("-1"), None),
        (Some("1.5"), None),
        (Some(""), None),
        (Some("Fri, 31 Dec 1999 23:59:59 GMT"), Some(29)),
        (Some(" Friday, 31-Dec-99 23:59:59 GMT "), Some(29)),
        (Some("Fri Dec 31 23:59:59 1999"), Some(29)),
        (Some("Fri, 31 Dec 1999 23:59:29 GMT"), Some(0)),
        (Some("Fri, 31 Dec 1999 23:59:59"), None),
        (Some("soon"), None),
        (None, None),
    ] {
        assert_eq!(
            retry_after(value, now),
            expected.map(Duration::from_secs),
            "{value:?}"
        );
    }
}

proptest! {
    #[test]
    fn a_pause_is_never_longer_than_the_contract_s_and_at_least_half_of_it(
        seconds in 0_u64..=3_600,
        number in 1_u64..=1_000,
        jitter in 0.0_f64..=1.0,
    ) {
        let backoff = Backoff { attempts: u64::MAX, seconds };
        let pause = backoff.pause(number, None, jitter);
        let longest = Duration::from_secs(seconds * number);
        prop_assert!(longest / 2 <= pause && pause <= longest);
    }

    #[test]
    fn no_flag_value_overflows(seconds: u64, number: u64, jitter: f64) {
        Backoff { attempts: 1, seconds }.pause(number, None, jitter);
    }
}
